// A library whose text has the same layout whatever FRAME is, but whose frames differ: rules for one are wrong for
// another.
#ifndef FRAME
#define FRAME 64
#endif

typedef void (*function)(void);

#define STRING_(text) #text
#define STRING(text) STRING_(text)

// The frame's size is a 32-bit immediate, so that every library has the same instructions at the same addresses.
__asm__(".text\n.globl enter\n.type enter,@function\nenter:\n.cfi_startproc\n"
        "sub $" STRING(FRAME) ", %rsp\n.cfi_adjust_cfa_offset " STRING(FRAME) "\n"
        "call *%rdi\n"
        "add $" STRING(FRAME) ", %rsp\n.cfi_adjust_cfa_offset -" STRING(FRAME) "\n"
        "ret\n.cfi_endproc\n.size enter, .-enter\n"
        ".section .note.GNU-stack,\"\",@progbits\n");
