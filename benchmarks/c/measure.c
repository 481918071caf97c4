/* Prints the instructions and the bytes of stack that the classification of an image takes. */
#include "lenet5.h"
#include "lenet5_golden.h"

#include <stdio.h>

#define SYSTICK ((volatile uint32_t *)0xE000E010)
#define INSTRUCTIONS_PER_TICK 40 /* the clock has 25 MHz, and under -icount shift=0 an instruction takes 1 ns */
#define WRAP 0xFFFFFF /* the clock has 24 bits */
#define UNTOUCHED 0xA5

extern char stack_bottom;

int main(void)
{
    static lenet5_work work;
    static lenet5_distance distances[LENET5_CLASSES];
    register volatile char *const top __asm("sp");
    volatile char *at;
    for (at = &stack_bottom; at < top; at++)
        *at = (char)UNTOUCHED;
    SYSTICK[1] = WRAP;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, by the processor's clock; it counts down */
    while (SYSTICK[2] == 0)
        ;
    const uint32_t before = SYSTICK[2];
    lenet5_classify(golden_image[0], distances, &work);
    const uint32_t ticks = (before - SYSTICK[2]) & WRAP;
    for (at = &stack_bottom; *at == (char)UNTOUCHED; at++)
        ;
    printf("%lu instructions, %ld bytes of stack\n", (unsigned long)(ticks * INSTRUCTIONS_PER_TICK), (long)(top - at));
    return 0;
}
