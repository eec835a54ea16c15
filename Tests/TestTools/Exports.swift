// A test that needs the tools runs programs and keeps files too.
@_exported import ProgramSupport
