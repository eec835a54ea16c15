// Every form of operator new and delete, each in a function of its own that leaves a known remainder.
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "steps.h"

static void *volatile kept;
static volatile std::size_t enormous = PTRDIFF_MAX - 4096;

struct alignas(128) Aligned {
  char bytes[384];
};

struct Throwing {
  char bytes[72];
  NOINLINE Throwing();
};
Throwing::Throwing() { throw 5; }

// Its array form has a cookie of 8 bytes in front.
struct Counted {
  char bytes[24];
  ~Counted() { bytes[0] = 1; }
};

template <typename T> NOINLINE static void drop(T *pointer) {
  T *volatile hidden = pointer;
  delete hidden;
}

NOINLINE static void case_new() {
  kept = new char;
  kept = new std::uint64_t;
  drop(new int);
}

NOINLINE static void case_new_array() {
  kept = new char[1000];
  kept = new Counted[10];
  Counted *volatile gone = new Counted[3];
  delete[] gone;
}

NOINLINE static void case_new_nothrow() {
  kept = new (std::nothrow) char[30];
  kept = new (std::nothrow) std::uint64_t;
  void *volatile gone = operator new(31, std::nothrow);
  operator delete(gone, std::nothrow);
  gone = operator new[](32, std::nothrow);
  operator delete[](gone, std::nothrow);
  kept = new (std::nothrow) char[enormous];
  require(kept == nullptr, 10);
}

NOINLINE static void case_new_aligned() {
  kept = new Aligned;
  kept = new Aligned[2];
  drop(new Aligned);
  Aligned *volatile gone = new Aligned[2];
  delete[] gone;
}

NOINLINE static void case_new_aligned_nothrow() {
  kept = new (std::nothrow) Aligned;
  kept = new (std::nothrow) Aligned[3];
  void *volatile gone = operator new(256, std::align_val_t(64), std::nothrow);
  operator delete(gone, std::align_val_t(64), std::nothrow);
  gone = operator new[](256, std::align_val_t(64), std::nothrow);
  operator delete[](gone, std::align_val_t(64), std::nothrow);
}

NOINLINE static void case_delete_sized() {
  void *volatile gone = operator new(100);
  operator delete(gone, std::size_t(100));
  gone = operator new[](101);
  operator delete[](gone, std::size_t(101));
  gone = operator new(128, std::align_val_t(64));
  operator delete(gone, std::size_t(128), std::align_val_t(64));
  gone = operator new[](128, std::align_val_t(64));
  operator delete[](gone, std::size_t(128), std::align_val_t(64));
  gone = operator new(102);
  operator delete(gone);
  gone = operator new[](103);
  operator delete[](gone);
}

NOINLINE static void case_bad_alloc() {
  int caught = 0;
  for (int i = 0; i < 50; i++) {
    try {
      kept = new char[enormous];
    } catch (const std::bad_alloc &) {
      caught++;
    }
    try {
      kept = operator new(enormous, std::align_val_t(64));
    } catch (const std::bad_alloc &) {
      caught++;
    }
  }
  require(caught == 100, 11);
  kept = new char[17];
}

// The memory of an object whose constructor throws is given back.
NOINLINE static void case_throwing_constructor() {
  int caught = 0;
  try {
    kept = new Throwing;
  } catch (int value) {
    caught = value;
  }
  require(caught == 5, 12);
}

NOINLINE static void case_placement() {
  alignas(8) static char place[64];
  kept = new (place) std::uint64_t(7);
}

NOINLINE static void case_containers() {
  auto *numbers = new std::vector<std::uint32_t>;
  numbers->reserve(100);
  numbers->reserve(300);
  kept = numbers;
  std::string *text = new std::string(200, 'x');
  std::string *volatile hidden = text;
  delete hidden;
}

namespace shapes {
template <typename T> struct Factory {
  NOINLINE T *create(int count) const {
    T *made = new T[count];
    KEEP_FRAME();
    return made;
  }
};
}  // namespace shapes

NOINLINE static void case_demangled() { kept = shapes::Factory<double>().create(6); KEEP_FRAME(); }

int main() {
  step();
  case_new();
  case_new_array();
  case_new_nothrow();
  case_new_aligned();
  case_new_aligned_nothrow();
  case_delete_sized();
  case_bad_alloc();
  case_throwing_constructor();
  case_placement();
  case_containers();
  case_demangled();
  step();
  return 0;
}
