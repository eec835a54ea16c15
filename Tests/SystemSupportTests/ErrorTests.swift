import Glibc
import Testing

@testable import SystemSupport

@Suite struct ErrorTests {
  @Test func refusalsSayTheirLine() {
    #expect("\(Refusal("no process has the id 7"))" == "no process has the id 7")
    #expect(Refusal("a") == Refusal("a") && Refusal("a") != Refusal("b"))
  }

  @Test func numbersHaveText() {
    #expect(errorMessage(ENOENT) == "No such file or directory")
    #expect(errorMessage(12345).contains("12345"))
  }
}
