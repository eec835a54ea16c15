// C code, called from Go on another stack: 21 blocks of 1000 bytes are kept.
package main

/*
#cgo CFLAGS: -O1
#include <stdlib.h>
static void *volatile kept;
__attribute__((noinline)) void c_leak(int n) { kept = malloc(1000); __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) void c_enter(int n) { c_leak(n); __asm__ volatile("" ::: "memory"); }
*/
import "C"

//go:noinline
func deep(n int) int {
	if n == 0 {
		C.c_enter(1)
		return 0
	}
	return deep(n-1) + 1
}

func main() {
	done := make(chan bool)
	for i := 0; i < 20; i++ {
		go func() { deep(5); done <- true }()
		<-done
	}
	deep(3)
}
