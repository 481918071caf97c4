/* Reads images from standard input, and writes for each its class, whether it is accepted, and its distances. */
#include "lenet5.h"

#include <stdio.h>

int main(void)
{
    static uint8_t image[LENET5_PIXELS];
    static lenet5_work work;
    lenet5_distance distances[LENET5_CLASSES];
    while (fread(image, LENET5_PIXELS, 1, stdin) == 1) {
        int32_t answer[2];
        answer[0] = lenet5_classify(image, distances, &work);
        answer[1] = lenet5_accept(distances);
        fwrite(answer, sizeof answer, 1, stdout);
        fwrite(distances, sizeof distances, 1, stdout);
    }
    return 0;
}
