import Allocators
import SystemSupport
import Testing

@testable import AllocationTracing

@Suite struct CustomAllocatorSpecTests {
  @Test func kinds() throws {
    let cases: [(String, AllocatorFunction.Kind)] = [
      ("pool_get:size=2", .allocate(size: 1)),
      ("pool_get:size=arg2", .allocate(size: 1)),
      ("pool_array:size=3,count=2", .allocateCounted(count: 1, size: 2)),
      ("pool_resize:ptr=1,size=2", .reallocate(pointer: 0, size: 1)),
      ("pool_resize:ptr=1,size=2,count=3", .reallocateCounted(pointer: 0, count: 2, size: 1)),
      ("pool_make:out=1,size=6", .allocateToPointer(out: 0, size: 5)),
    ]
    for (text, kind) in cases {
      #expect(try CustomAllocatorSpec(parsingAllocate: text).function.kind == kind)
    }
    let free = try CustomAllocatorSpec(parsingFree: "ns::pool::put:ptr=2").function
    #expect(free.name == "ns::pool::put")
    #expect(free.kind == .free(pointer: 1))
  }

  @Test(arguments: [
    ("pool_get", "no ':'"), (":size=1", "no symbol"), ("f:", "not KEY=ARG"),
    ("f:count=1", "'size=ARG' is missing"), ("f:size=0", "use 1 to 6"), ("f:size=7", "use 1 to 6"),
    ("f:size=x", "use 1 to 6"), ("f:size", "not KEY=ARG"), ("f:size=1,size=2", "given twice"),
    ("f:size=1,count=1", "used twice"), ("f:length=1", "unknown key"),
    ("f:size=1,count=2,out=3", "cannot be combined"), ("f:size=1,", "not KEY=ARG"),
  ])
  func errors(text: String, message: String) {
    let error = #expect(throws: Refusal.self) {
      try CustomAllocatorSpec(parsingAllocate: text)
    }
    #expect(error?.description.contains(message) == true)
    #expect(error?.description.contains("\n") == false)
  }

  @Test func freeNeedsAPointer() {
    #expect(throws: Refusal.self) {
      try CustomAllocatorSpec(parsingFree: "f:size=1")
    }
    #expect(throws: Refusal.self) {
      try CustomAllocatorSpec(parsingFree: "f:ptr=")
    }
  }
}
