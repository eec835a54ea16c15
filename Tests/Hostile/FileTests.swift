import Glibc
import SystemSupport
import TestTools
import Testing

/// Files and links that another user has put where leaktrace, as root, reads or writes.
struct FileTests {
  private let directory: TemporaryDirectory
  /// A directory like /tmp.
  private let sticky: String
  private static let stranger: uid_t = 65_534
  private static let isRoot: Bool = geteuid() == 0

  init() throws {
    directory = try TemporaryDirectory()
    sticky = directory.file("sticky")
    try #require(mkdir(sticky, 0o1777) == 0 && chmod(sticky, 0o1777) == 0 && chmod(directory.path, 0o755) == 0)
  }

  private func text(_ path: String) -> String { String(decoding: contents(of: path), as: UTF8.self) }

  private func write(_ path: String, _ text: String = "new") throws {
    let descriptor = try OutputFile.open(path)
    #expect(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
    close(descriptor)
  }

  private func refuses(_ path: String, _ comment: String = "") {
    #expect(throws: Refusal.self, "\(comment)") { close(try OutputFile.open(path)) }
  }

  // MARK: Writing

  @Test func aNewFileIsForItsOwnerAlone() throws {
    for path in [directory.file("new"), sticky + "/new", sticky + "//./new2", directory.file("sticky/../new3")] {
      try write(path)
      var status = stat()
      #expect(lstat(path, &status) == 0 && status.st_mode == S_IFREG | 0o600 && text(path) == "new")
      // Once more, and shorter: it is our own.
      try write(path, "n")
      #expect(text(path) == "n")
    }
  }

  @Test func pathsAreRelativeToTheWorkingDirectory() throws {
    let name = "leaktrace-test-\(getpid())-relative"
    defer { unlink(name) }
    try write(name)
    #expect(text(name) == "new")
    try write("./" + name, "again")
    #expect(text(name) == "again")
  }

  @Test func linksInAStickyDirectoryAreNotFollowed() throws {
    let kept = try directory.write("kept", "kept")
    for target in [kept, directory.file("made"), "../kept", "/proc/self/fd/1", "/dev/stdout", "loop"] {
      let link = sticky + "/link"
      unlink(link)
      try #require(symlink(target, link) == 0)
      refuses(link, target)
      refuses(sticky + "/../sticky/link", target)
    }
    #expect(text(kept) == "kept" && access(directory.file("made"), F_OK) != 0)
    // In a directory of our own they are, and also to what is not there yet.
    let link = directory.file("link")
    try #require(symlink("kept", link) == 0)
    try write(link)
    #expect(text(kept) == "new")
    try #require(symlink(directory.file("there"), directory.file("second")) == 0)
    try write(directory.file("second"))
    #expect(text(directory.file("there")) == "new")
    try #require(symlink("circle", directory.file("circle")) == 0)
    refuses(directory.file("circle"))
  }

  @Test func aSecondNameOfAFileIsNotWritten() throws {
    let kept = try directory.write("kept", "kept")
    try #require(Glibc.link(kept, sticky + "/hard") == 0)
    refuses(sticky + "/hard")
    #expect(text(kept) == "kept")
  }

  @Test func whatIsNoFileIsWrittenAsItIs() throws {
    try write("/dev/null")
    let full = try OutputFile.open("/dev/full")
    #expect(Glibc.write(full, "x", 1) == -1 && errno == ENOSPC)
    close(full)
    for path in ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1", "/proc/\(getpid())/fd/1"] {
      let descriptor = try OutputFile.open(path)
      var (one, other) = (stat(), stat())
      #expect(fstat(descriptor, &one) == 0 && fstat(path.hasSuffix("err") ? 2 : 1, &other) == 0)
      #expect(one.st_ino == other.st_ino && one.st_dev == other.st_dev)
      close(descriptor)
    }
    let pipe = directory.file("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    let reader = try RunningProgram(["cat", pipe])
    try write(pipe, "through the pipe")
    #expect(reader.readOutput(timeout: patience) == "through the pipe")
    for path in [
      "/", directory.path, directory.path + "/", "/no/such/file", directory.file("kept/x"), "", "/proc/1/root/x",
    ] {
      refuses(path)
    }
  }

  @Test(.enabled(if: isRoot, "needs root, to have files of another user")) func filesOfOthersAreNotTakenOver() throws {
    for (path, isOwn) in [(sticky + "/foreign", false), (directory.file("foreign"), true)] {
      let descriptor = Glibc.open(path, O_WRONLY | O_CREAT, 0o666)
      try #require(descriptor >= 0 && fchown(descriptor, Self.stranger, Self.stranger) == 0)
      close(descriptor)
      refuses(path, "\(isOwn)")
    }
    let pipe = sticky + "/pipe"
    try #require(mkfifo(pipe, 0o666) == 0 && chown(pipe, Self.stranger, Self.stranger) == 0)
    refuses(pipe)
    // On the way there, too.
    let home = directory.file("home")
    try #require(mkdir(home, 0o755) == 0 && chown(home, Self.stranger, Self.stranger) == 0)
    try #require(symlink(directory.path, home + "/link") == 0)
    try #require(lchown(home + "/link", Self.stranger, Self.stranger) == 0)
    refuses(home + "/link/made")
    #expect(access(directory.file("made"), F_OK) != 0)
  }

  /// A file and a link that change places, as quickly as another process can change them.
  @Test func aRaceOfRenamesWritesNothingElse() throws {
    let kept = try directory.write("kept", "kept")
    let racer = try RunningProgram([
      "python3", "-c",
      """
      import os, sys
      place, kept = sys.argv[1], sys.argv[2]
      print(flush=True)
      while True:
          for make in (lambda: os.symlink(kept, place + '.new'), lambda: open(place + '.new', 'x').close(),
                       lambda: os.link(kept, place + '.new')):
              try:
                  make()
                  os.rename(place + '.new', place)
              except OSError: pass
      """, sticky + "/place", kept,
    ])
    defer { kill(racer.processID, SIGKILL) }
    _ = racer.readLine(timeout: patience)
    for _ in 0..<fuzzRounds(300) {
      if let descriptor = try? OutputFile.open(sticky + "/place") {
        _ = Glibc.write(descriptor, "new", 3)
        close(descriptor)
      }
      if text(kept) != "kept" { break }
    }
    #expect(text(kept) == "kept")
  }

  // MARK: Reading what is obeyed

  @Test func aFileThatOthersCanChangeIsNotObeyed() throws {
    let file = try directory.write("watch.conf", "budget = 1%\n")
    try #require(chmod(file, 0o644) == 0)
    #expect(try TrustedFile.read(file) == Array("budget = 1%\n".utf8))
    try TrustedFile.check(file)
    for mode: mode_t in [0o666, 0o602, 0o646] {
      try #require(chmod(file, mode) == 0)
      #expect(throws: Refusal.self) { try TrustedFile.read(file) }
      #expect(throws: Refusal.self) { try TrustedFile.check(file) }
    }
    try #require(chmod(file, 0o600) == 0)
    // Who can write to a directory on the way can change the file.
    let open = directory.file("open")
    try #require(mkdir(open, 0o777) == 0 && chmod(open, 0o777) == 0 && mkdir(open + "/inner", 0o755) == 0)
    let inner = try directory.write("open/inner/watch.conf", "")
    #expect(throws: Refusal.self) { try TrustedFile.read(inner) }
    try #require(chmod(open, 0o1777) == 0)
    #expect(try TrustedFile.read(inner) == [])
    // Its links count as in other places.
    try #require(symlink(file, directory.file("link")) == 0 && symlink(file, sticky + "/link") == 0)
    #expect(try TrustedFile.read(directory.file("link")) == Array("budget = 1%\n".utf8))
    #expect(throws: Refusal.self) { try TrustedFile.read(sticky + "/link") }
    for path in [directory.path, "/dev/zero", directory.file("missing")] {
      #expect(throws: Refusal.self) { try TrustedFile.read(path) }
    }
    let pipe = directory.file("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    #expect(throws: Refusal.self) { try TrustedFile.read(pipe) }
    let large = try directory.write("large", String(repeating: "#", count: TrustedFile.sizeLimit + 1))
    #expect(throws: Refusal.self) { try TrustedFile.read(large) }
  }

  @Test(.enabled(if: isRoot, "needs root, to have files of another user")) func aFileOfAnotherUserIsNotObeyed() throws {
    let file = try directory.write("watch.conf", "on-alert = id\n")
    try #require(chown(file, Self.stranger, Self.stranger) == 0)
    #expect(throws: Refusal.self) { try TrustedFile.read(file) }
    try #require(chown(file, 0, Self.stranger) == 0 && chmod(file, 0o660) == 0)
    #expect(throws: Refusal.self) { try TrustedFile.read(file) }
    try #require(chmod(file, 0o640) == 0)
    #expect(try TrustedFile.read(file).isEmpty == false)
    let home = directory.file("home")
    try #require(mkdir(home, 0o755) == 0 && chown(home, Self.stranger, Self.stranger) == 0)
    let inner = try directory.write("home/watch.conf", "")
    #expect(throws: Refusal.self) { try TrustedFile.read(inner) }
  }

  @Test func aKeptFileIsNobodyElses() throws {
    try OutputFile.checkKept(directory.file("history.db"))
    let open = directory.file("open")
    try #require(mkdir(open, 0o777) == 0 && chmod(open, 0o777) == 0)
    #expect(throws: Refusal.self) { try OutputFile.checkKept(open + "/history.db") }
    try #require(symlink(directory.file("x"), sticky + "/history.db") == 0)
    #expect(throws: Refusal.self) { try OutputFile.checkKept(sticky + "/history.db") }
  }
}
