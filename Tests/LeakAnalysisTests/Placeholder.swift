// Tests of the leak analysis.
