/* Starts a program on a Cortex-M4 that QEMU emulates, with its output and exit code sent to the host. */
#include <stdint.h>
#include <stdlib.h>

extern char stack_top;
extern void initialise_monitor_handles(void);
extern int main(void);

void start(void);
static void fault(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (const void *)start, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};

void start(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* CPACR: the floating point unit may be used */
    __asm volatile("dsb\n isb");
    initialise_monitor_handles();
    exit(main());
}

static void fault(void)
{
    abort();
}
