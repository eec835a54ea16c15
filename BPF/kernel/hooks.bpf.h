// What user space must know of a program: which event of the kernel it sees, and where it is attached. User space reads
// these lines from the object file (KernelHook), so that a program and its line are all that a hook takes.
#pragma once

// PROGRAM: the function. LINE, in words:
//   the event, as reports name it; a name that has "free" in it is attached before the others
//   slab, vmalloc, percpu or pages
//   needed, or completes: what a trace of these is without it
//   tracepoint, kprobe or kretprobe
//   of tracepoints: the one that must exist, and others that are attached where they do;
//   of functions: their names in different versions of the kernel, newer ones first
// An event with several programs is seen by the first that can be attached, but by kprobe and kretprobe together.
#define HOOK(program, line) \
  static const char hook_of_##program[] __attribute__((section(".hooks"), used)) = #program " " line
