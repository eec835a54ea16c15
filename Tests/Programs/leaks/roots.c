// Everything that can hold the only pointer to a block of 48 bytes, unless a case says otherwise.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "leaks.h"

enum { SIZE = 48, PAGE = 4096 };

// A local variable that lives in memory, and as long as it is held.
#define HOLD(local) __asm__ volatile("" ::"r"(&(local)) : "memory")

// Ends the process with no more code than that.
#define EXIT_GROUP 231

// ---- Data of the program. -------------------------------------------------------------------------------------------
static int something;
static Root data_root = &something, bss_root;
static Root array_root[10000];

// Reachable, as all here.
LEAK_CASE(data) { data_root = block(SIZE); }
LEAK_CASE(bss) { bss_root = block(SIZE); }
LEAK_CASE(array_end) { array_root[9999] = block(SIZE); }
LEAK_CASE(static_local) {
  static Root local;
  local = block(SIZE);
  HOLD(local);
}

// ---- Thread-local variables and pthread keys. -----------------------------------------------------------------------
static __thread void *volatile tls_bss;
static __thread void *volatile tls_data = &something;
static __thread void *volatile tls_array[1000];

// Reachable.
LEAK_CASE(tls_bss) { tls_bss = block(SIZE); }
LEAK_CASE(tls_data) { tls_data = block(SIZE); }
LEAK_CASE(tls_array_end) { tls_array[999] = block(SIZE); }

static pthread_key_t first_keys[4], second_keys[4];

// Keys 0 to 31 lie in the thread's control block, the others in a block that libc allocates.
__attribute__((constructor)) static void make_keys(void) {
  pthread_key_t filler;
  for (int i = 0; i < 4; i++)
    require(pthread_key_create(&first_keys[i], NULL) == 0 && first_keys[i] < 32, 10);
  for (int i = 0; i < 40; i++)
    require(pthread_key_create(&filler, NULL) == 0, 11);
  for (int i = 0; i < 4; i++)
    require(pthread_key_create(&second_keys[i], NULL) == 0 && second_keys[i] >= 32, 12);
}

// Reachable.
LEAK_CASE(key_first) { pthread_setspecific(first_keys[0], block(SIZE)); KEEP_FRAME(); }

// Two blocks reachable: libc's 512 bytes hold the other.
LEAK_CASE(key_second) { pthread_setspecific(second_keys[0], block(SIZE)); KEEP_FRAME(); }

// ---- Threads that live until the end. -------------------------------------------------------------------------------
static sem_t is_set_up;

// Starts a thread and waits until it says that it is set up.
static pthread_t start(void *(*function)(void *)) {
  pthread_t thread;
  sem_init(&is_set_up, 0, 0);
  require(pthread_create(&thread, NULL, function, NULL) == 0, 13);
  while (sem_wait(&is_set_up) != 0) {}
  return thread;
}

__attribute__((noreturn, noinline)) static void sleep_for_ever(void) {
  wipe_stack();
  wipe_registers();
  sem_post(&is_set_up);
  for (;;)
    pause();
}

// Reachable, all of these.
NOINLINE static void *case_thread_tls__thread(void *unused) {
  tls_bss = block(SIZE);
  sleep_for_ever();
  return unused;
}
LEAK_CASE(thread_tls) { start(case_thread_tls__thread); KEEP_FRAME(); }

NOINLINE static void *case_thread_key_first__thread(void *unused) {
  pthread_setspecific(first_keys[1], block(SIZE));
  sleep_for_ever();
  return unused;
}
LEAK_CASE(thread_key_first) { start(case_thread_key_first__thread); KEEP_FRAME(); }

NOINLINE static void *case_thread_key_second__thread(void *unused) {
  pthread_setspecific(second_keys[1], block(SIZE));
  sleep_for_ever();
  return unused;
}
LEAK_CASE(thread_key_second) { start(case_thread_key_second__thread); KEEP_FRAME(); }

NOINLINE static void *case_thread_stack__thread(void *unused) {
  void *local = block(SIZE);
  HOLD(local);
  sleep_for_ever();
  HOLD(local);
  return unused;
}
LEAK_CASE(thread_stack) { start(case_thread_stack__thread); KEEP_FRAME(); }

// Twenty threads with a block each.
NOINLINE static void *case_thread_many__thread(void *unused) {
  void *local = block(SIZE);
  HOLD(local);
  sleep_for_ever();
  HOLD(local);
  return unused;
}
LEAK_CASE(thread_many) {
  for (int i = 0; i < 20; i++)
    start(case_thread_many__thread);
}

// On a stack that the program has allocated itself, a block of 524,288 bytes: 2 reachable.
static Root stack_block_root;
NOINLINE static void *case_thread_own_stack__thread(void *unused) {
  void *local = block(SIZE);
  HOLD(local);
  sleep_for_ever();
  HOLD(local);
  return unused;
}
LEAK_CASE(thread_own_stack) {
  pthread_attr_t attributes;
  pthread_t thread;
  void *stack = NULL;
  require(posix_memalign(&stack, PAGE, 1 << 19) == 0, 14);
  stack_block_root = stack;
  sem_init(&is_set_up, 0, 0);
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, 1 << 19);
  require(pthread_create(&thread, &attributes, case_thread_own_stack__thread, NULL) == 0, 13);
  pthread_attr_destroy(&attributes);
  while (sem_wait(&is_set_up) != 0) {}
}

// ---- Threads that have ended. ---------------------------------------------------------------------------------------
// Lost, all of these, though libc keeps the stack and with it the variables for another thread.
NOINLINE static void *case_ended_tls__thread(void *unused) {
  tls_bss = block(SIZE);
  return unused;
}
NOINLINE static void *case_ended_key__thread(void *unused) {
  pthread_setspecific(first_keys[2], block(SIZE));
  pthread_setspecific(second_keys[2], block(SIZE));
  return unused;
}
// Far from the thread's first frame: what lies near it may be overwritten or not.
NOINLINE static void *case_ended_stack__thread(void *unused) {
  void *locals[1024];
  for (int i = 0; i < 1024; i++)
    locals[i] = NULL;
  locals[8] = block(SIZE);
  HOLD(locals);
  return unused;
}
NOINLINE static void *case_ended_dropped__thread(void *unused) {
  block(SIZE);
  KEEP_FRAME();
  return unused;
}

static void run_thread(void *(*function)(void *)) {
  pthread_t thread;
  require(pthread_create(&thread, NULL, function, NULL) == 0, 15);
  require(pthread_join(thread, NULL) == 0, 16);
}
LEAK_CASE(ended_tls) { run_thread(case_ended_tls__thread); KEEP_FRAME(); }
LEAK_CASE(ended_key) { run_thread(case_ended_key__thread); KEEP_FRAME(); }
LEAK_CASE(ended_stack) { run_thread(case_ended_stack__thread); KEEP_FRAME(); }
LEAK_CASE(ended_dropped) { run_thread(case_ended_dropped__thread); KEEP_FRAME(); }

// ---- Stacks. --------------------------------------------------------------------------------------------------------
// Reachable: this frame lives on.
LEAK_CASE(stack) {
  void *local = block(SIZE);
  HOLD(local);
  proceed();
  HOLD(local);
}

// From the two ends of a large frame: 2 reachable.
LEAK_CASE(stack_large_frame) {
  void *locals[32 * 1024];
  for (int i = 0; i < 32 * 1024; i++)
    locals[i] = NULL;
  locals[0] = block(SIZE);
  locals[32 * 1024 - 1] = block(SIZE);
  HOLD(locals);
  proceed();
}

// Lost: the frame is gone, but nothing has been written there since.
NOINLINE static void case_stack_stale__below(void) {
  void *locals[128 * 1024];
  locals[64] = block(SIZE);
  HOLD(locals);
}
LEAK_CASE(stack_stale) { case_stack_stale__below(); KEEP_FRAME(); }

// Reachable: the 128 bytes below the stack pointer belong to a function that calls no other.
LEAK_CASE(red_zone) {
  void *b = block(SIZE);
  wipe_stack();
  __asm__ volatile("mov %0, -96(%%rsp)\n\txor %%edi, %%edi\n\txor %0, %0\n\tmov %1, %%eax\n\tsyscall"
                   :: "r"(b), "i"(EXIT_GROUP) : "rdi", "rax", "rcx", "r11", "memory");
}

// ---- Registers, when the process ends. ------------------------------------------------------------------------------
enum { PAUSE = 34 };
static volatile int general_is_held, vector_is_held;

static void start_holder(void *(*function)(void *), const volatile int *is_held) {
  pthread_t thread;
  require(pthread_create(&thread, NULL, function, NULL) == 0, 17);
  while (!*is_held)
    usleep(1000);
}

// Reachable: of a thread that waits.
NOINLINE static void *case_register_general__thread(void *unused) {
  void *b = block(SIZE);
  wipe_stack();
  wipe_registers();
  __asm__ volatile("mov %0, %%r13\n\txor %0, %0\n\tmovl $1, %1\n1:\tmov %2, %%eax\n\tsyscall\n\tjmp 1b"
                   : "+r"(b), "=m"(general_is_held) : "i"(PAUSE) : "rax", "rcx", "r11", "r13", "memory");
  return unused;
}
LEAK_CASE(register_general) { start_holder(case_register_general__thread, &general_is_held); }

// The same in a vector register.
NOINLINE static void *case_register_vector__thread(void *unused) {
  void *b = block(SIZE);
  wipe_stack();
  wipe_registers();
  __asm__ volatile("movq %0, %%xmm5\n\tpslldq $8, %%xmm5\n\txor %0, %0\n\tmovl $1, %1\n1:\tmov %2, %%eax\n\tsyscall\n\t"
                   "jmp 1b"
                   : "+r"(b), "=m"(vector_is_held) : "i"(PAUSE) : "rax", "rcx", "r11", "xmm5", "memory");
  return unused;
}
LEAK_CASE(register_vector) { start_holder(case_register_vector__thread, &vector_is_held); }

// Lost: out of exit_group(2) nobody comes, whatever its vector registers hold.
LEAK_CASE(register_at_end) {
  void *b = block(SIZE);
  wipe_stack();
  wipe_registers();
  // The functions before have left it below the stack pointer, too.
  __asm__ volatile("movq %0, %%xmm5\n\txor %0, %0\n\txor %%eax, %%eax\n\tmov $16, %%ecx\n\t"
                   "lea -128(%%rsp), %%rdi\n\tcld\n\trep stosq\n\txor %%edi, %%edi\n\tmov %1, %%eax\n\tsyscall"
                   : "+r"(b) : "i"(EXIT_GROUP) : "rdi", "rax", "rcx", "r11", "xmm5", "memory");
}

// Every mapping but one is known to the program: its address is kept.
static Root mapping_roots[16];
static int mapping_count;
static char *map(size_t pages, int flags, int file) {
  char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
  require(memory != MAP_FAILED, 20);
  mapping_roots[mapping_count++] = memory;
  return memory;
}
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

// ---- Signals and other stacks. --------------------------------------------------------------------------------------
static char signal_stack[1 << 18];

static void on_signal(void (*handler)(int), int flags) {
  struct sigaction action = {.sa_flags = flags};
  action.sa_handler = handler;
  require(sigaction(SIGUSR1, &action, NULL) == 0, 17);
}

static void use_signal_stack(void *memory) {
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof signal_stack};
  require(sigaltstack(&stack, NULL) == 0, 18);
}

NOINLINE static void handler_that_ends(int number) {
  (void)number;
  proceed();
}

// Reachable: on the main stack, while a handler runs on another one.
LEAK_CASE(signal_main_stack) {
  void *local = block(SIZE);
  HOLD(local);
  use_signal_stack(signal_stack);
  on_signal(handler_that_ends, SA_ONSTACK);
  raise(SIGUSR1);
  HOLD(local);
}

NOINLINE static void case_signal_own_stack__handler(int number) {
  void *local = block(SIZE);
  HOLD(local);
  (void)number;
  proceed();
  HOLD(local);
}

// Reachable: on the handler's stack, a mapping.
LEAK_CASE(signal_own_stack) {
  use_signal_stack(map(sizeof signal_stack / PAGE, ANONYMOUS, -1));
  on_signal(case_signal_own_stack__handler, SA_ONSTACK);
  raise(SIGUSR1);
  KEEP_FRAME();
}

// Reachable: in a register of the code that a signal interrupted.
LEAK_CASE(signal_register) {
  on_signal(handler_that_ends, 0);
  void *b = block(SIZE);
  int process = getpid();
  wipe_stack();
  __asm__ volatile("mov %0, %%r13\n\txor %0, %0\n\tmov %2, %%eax\n\tsyscall\n\txor %%r13d, %%r13d"
                   :: "r"(b), "D"(process), "i"(SYS_kill), "S"(SIGUSR1)
                   : "rax", "rcx", "r11", "r13", "memory");
}

static ucontext_t main_context, other_context;
static Root context_stack_root;

static void make_context(void *stack, size_t size, void (*function)(void)) {
  require(getcontext(&other_context) == 0, 19);
  other_context.uc_stack.ss_sp = stack;
  other_context.uc_stack.ss_size = size;
  other_context.uc_link = NULL;
  makecontext(&other_context, function, 0);
}

NOINLINE static void case_context_suspended__other(void) {
  void *local = block(SIZE);
  HOLD(local);
  wipe_registers();
  swapcontext(&other_context, &main_context);
  HOLD(local);
}

// On the stack of a context that waits, a block of 131,072 bytes: 2 reachable.
LEAK_CASE(context_suspended) {
  void *stack = block(131072);
  context_stack_root = stack;
  make_context(stack, 131072, case_context_suspended__other);
  swapcontext(&main_context, &other_context);
}

NOINLINE static void context_that_ends(void) { proceed(); }

// On the main stack, while the process ends in another context on a block of its own: 2 reachable.
LEAK_CASE(context_running) {
  void *local = block(SIZE);
  HOLD(local);
  void *stack = block(262144);
  context_stack_root = stack;
  make_context(stack, 262144, context_that_ends);
  swapcontext(&main_context, &other_context);
  HOLD(local);
}

// ---- Mappings. ------------------------------------------------------------------------------------------------------

// Reachable.
LEAK_CASE(mapping) { put(map(4, ANONYMOUS, -1), 3 * PAGE + 8, block(SIZE)); }
LEAK_CASE(mapping_shared) { put(map(4, MAP_SHARED | MAP_ANONYMOUS, -1), PAGE, block(SIZE)); }
LEAK_CASE(mapping_file) {
  int file = memfd_create("leaks", 0);
  require(ftruncate(file, 2 * PAGE) == 0, 21);
  put(map(2, MAP_PRIVATE, file), PAGE, block(SIZE));
  close(file);
}
LEAK_CASE(mapping_read_only) {
  char *memory = map(2, ANONYMOUS, -1);
  put(memory, 64, block(SIZE));
  require(mprotect(memory, 2 * PAGE, PROT_READ) == 0, 22);
}

// Before and behind pages that cannot be read: 2 reachable.
LEAK_CASE(mapping_hole) {
  char *memory = map(6, ANONYMOUS, -1);
  put(memory, PAGE, block(SIZE));
  put(memory, 5 * PAGE, block(SIZE));
  require(mprotect(memory + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0, 23);
}

// In the part of a mapping that its file still reaches.
LEAK_CASE(mapping_cut_short) {
  int file = memfd_create("leaks", 0);
  require(ftruncate(file, 3 * PAGE) == 0, 24);
  char *memory = map(3, MAP_SHARED, file);
  put(memory, 16, block(SIZE));
  require(ftruncate(file, PAGE) == 0, 25);
  close(file);
}

// Lost, both: unmapped, or emptied.
LEAK_CASE(mapping_gone) {
  char *memory = map(2, ANONYMOUS, -1);
  put(memory, 0, block(SIZE));
  munmap(memory, 2 * PAGE);
}
LEAK_CASE(mapping_emptied) {
  char *memory = map(2, ANONYMOUS, -1);
  put(memory, 0, block(SIZE));
  madvise(memory, 2 * PAGE, MADV_DONTNEED);
}

// The mapping itself is lost, and the block with it.
LEAK_CASE(mapping_lost) {
  put(map(3, ANONYMOUS, -1), 2 * PAGE, block(SIZE));
  mapping_roots[--mapping_count] = NULL;
}

// Reachable: from memory that the program itself got by sbrk, between libc's.
static Root own_break_root;
LEAK_CASE(own_break) {
  char *memory = sbrk(PAGE);
  require(memory != (char *)-1, 26);
  own_break_root = memory;
  memset(memory, 0, PAGE);
  put(memory, PAGE - 16, block(SIZE));
}

// ---- Pointers that others keep. -------------------------------------------------------------------------------------
// Reachable, but only the kernel knows.
LEAK_CASE(epoll) {
  int pipes[2], poll = epoll_create1(0);
  require(poll >= 0 && pipe(pipes) == 0, 27);
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = block(SIZE)}};
  require(epoll_ctl(poll, EPOLL_CTL_ADD, pipes[0], &event) == 0, 28);
}
LEAK_CASE(timer) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
  timer_t timer;
  event.sigev_value.sival_ptr = block(SIZE);
  require(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, 29);
}

// Reachable: libc keeps it in the environment, an array of its own.
LEAK_CASE(environment) {
  char *variable = block(SIZE);
  strcpy(variable, "LEAK_CASE_VARIABLE=yes");
  putenv(variable);
}

// Reachable: an open file with its buffer.
LEAK_CASE(open_file) {
  FILE *file = fopen("/proc/self/stat", "r");
  require(file != NULL && fgetc(file) != EOF, 30);
}

// Lost: in a pipe, where nobody can look for it.
LEAK_CASE(pipe) {
  int pipes[2];
  void *b = block(SIZE);
  require(pipe(pipes) == 0 && write(pipes[1], &b, sizeof b) == sizeof b, 31);
}

// ---- Before main and after it: lost. --------------------------------------------------------------------------------
__attribute__((constructor)) static void case_constructor__runs(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "constructor") == 0 || strcmp(argv[i], "all") == 0)
      block(SIZE);
  wipe_stack();
}
LEAK_CASE(constructor) {}

static int destructor_is_wanted;
__attribute__((destructor)) static void case_destructor__runs(void) {
  if (destructor_is_wanted)
    block(SIZE);
  wipe_stack();
}
LEAK_CASE(destructor) { destructor_is_wanted = 1; }

NOINLINE static void case_exit_handler__runs(void) {
  block(SIZE);
  wipe_stack();
}
LEAK_CASE(exit_handler) { atexit(case_exit_handler__runs); KEEP_FRAME(); }

static const struct leak_case cases[] = {
    CASE_ENTRY(data), CASE_ENTRY(bss), CASE_ENTRY(array_end), CASE_ENTRY(static_local), CASE_ENTRY(tls_bss),
    CASE_ENTRY(tls_data), CASE_ENTRY(tls_array_end), CASE_ENTRY(key_first), CASE_ENTRY(key_second),
    CASE_ENTRY(constructor), CASE_ENTRY(destructor), CASE_ENTRY(exit_handler), CASE_ENTRY(mapping),
    CASE_ENTRY(mapping_shared), CASE_ENTRY(mapping_file), CASE_ENTRY(mapping_read_only), CASE_ENTRY(mapping_hole),
    CASE_ENTRY(mapping_cut_short), CASE_ENTRY(mapping_gone), CASE_ENTRY(mapping_emptied), CASE_ENTRY(mapping_lost),
    CASE_ENTRY(own_break), CASE_ENTRY(epoll), CASE_ENTRY(timer), CASE_ENTRY(environment), CASE_ENTRY(open_file),
    CASE_ENTRY(pipe), CASE_ENTRY(stack_stale),
    // Threads that live before those that end, whose stacks they would be given.
    CASE_ENTRY(thread_tls), CASE_ENTRY(thread_key_first), CASE_ENTRY(thread_key_second), CASE_ENTRY(thread_stack),
    CASE_ENTRY(thread_many), CASE_ENTRY(thread_own_stack), CASE_ENTRY(ended_tls), CASE_ENTRY(ended_key),
    CASE_ENTRY(ended_stack), CASE_ENTRY(ended_dropped), CASE_ENTRY(context_suspended), CASE_ENTRY(stack),
    CASE_ENTRY(register_general), CASE_ENTRY(register_vector), CASE_ENTRY(stack_large_frame),
    // These leave the main stack for good, and nobody knows where it ended.
    CASE_ALONE(signal_main_stack), CASE_ALONE(signal_own_stack), CASE_ALONE(signal_register),
    CASE_ALONE(context_running), CASE_ALONE(red_zone), CASE_ALONE(register_at_end),
};

int main(int argc, char **argv) {
  (void)argc;
  RUN_CASES(cases, argv);
}
