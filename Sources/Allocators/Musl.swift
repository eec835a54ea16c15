extension Allocator {
  package static let musl = Allocator("musl", libraries: ["ld-musl", "libc.musl"], replacesCLibrary: false)
}
