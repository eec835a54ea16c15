// Code to be put where other code was: as a library, or at the start of an executable's own text. Whatever FRAME and NAME
// are, the instructions lie at the same addresses and have the same length, but the frames differ, and each word of them
// holds an address that is no caller's: whoever goes by another one's rules finds it.
#ifndef FRAME
#define FRAME 136
#endif
#ifndef NAME
#define NAME first_code
#endif

#define STRING_(text) #text
#define STRING(text) STRING_(text)

// void NAME(void (*callee)(void), void (*decoy)(void))
__asm__(".text\n.balign 64\n.globl " STRING(NAME) "\n.type " STRING(NAME) ",@function\n" STRING(NAME) ":\n"
        ".cfi_startproc\n"
        "sub $" STRING(FRAME) ", %rsp\n.cfi_adjust_cfa_offset " STRING(FRAME) "\n"
        "mov %rdi, %rdx\n"
        "mov %rsi, %rax\n"
        "add $2, %rax\n"
        "mov %rsp, %rdi\n"
        "mov $" STRING(FRAME) ", %ecx\n"
        "shr $3, %ecx\n"
        "rep stosq\n"
        "call *%rdx\n"
        "add $" STRING(FRAME) ", %rsp\n.cfi_adjust_cfa_offset -" STRING(FRAME) "\n"
        "ret\n.cfi_endproc\n.size " STRING(NAME) ", .-" STRING(NAME) "\n"
        ".section .note.GNU-stack,\"\",@progbits\n");
