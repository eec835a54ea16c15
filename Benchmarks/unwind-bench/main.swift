// Measures the stack walker and the symbolizer. Not installed: `Scripts/bench unwind` runs it. Each command prints one
// `name value` per line.
import Glibc
import Symbolization
import UnwindHarness

let usage = """
  usage: unwind-bench convert FILE…
             milliseconds and MiB of the unwind tables of files
         unwind-bench load
             milliseconds to load the programs of a trace
         unwind-bench run [OPTIONS] -- COMMAND…
             walks at every call of malloc in COMMAND and its children
         unwind-bench symbolize [-d] [-w] [-n STACKS] [OPTIONS] -- COMMAND…
             milliseconds and MiB to name the frames of so many different stacks of COMMAND; -d: without debug information,
             -w: files are read by a worker without privileges
  options: -f FUNCTION (instead of malloc; several)  -l LIBRARY (instead of libc)  -r (at the function's return)
           -k (the kernel's own walk, too)  -K (only that)  -c PERIOD (compare 1 of PERIOD stacks with libdwfl's)
  """

WorkerMain.runIfStarted()
var arguments = CommandLine.arguments.dropFirst()
do {
  switch arguments.popFirst() {
  case "convert": try measureConversion(arguments)
  case "load": try measureLoading()
  case "run": try measureWalks(Options(&arguments))
  case "symbolize": try measureSymbolization(Options(&arguments))
  default: throw HarnessError(description: usage)
  }
} catch {
  print("unwind-bench: \(error)")
  exit(1)
}
