import Glibc
import Testing

/// Runs that attach to real programs: serial, since they share two things of the host, its load and its probes.
@Suite(
  .serialized,
  .enabled(if: geteuid() == 0, "needs root, to attach probes to programs"))
enum Privileged {}
