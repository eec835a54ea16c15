package main

/*
#include <stdlib.h>

void *volatile kept;

static void lose(size_t size) {
  volatile char *block = malloc(size);
  block[0] = 1;
}

static void keep(size_t size) { kept = calloc(1, size); }
*/
import "C"

import "fmt"

var table = map[int][]byte{}

func main() {
	// Memory of Go's own heap, which its collector takes care of.
	for number := 0; number < 50000; number++ {
		table[number] = make([]byte, 100)
	}
	for round := 0; round < 20; round++ {
		C.lose(1234)
	}
	C.keep(4321)
	fmt.Println(len(table))
}
