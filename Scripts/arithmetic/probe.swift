// Every operation that Scripts/check-arithmetic looks for, so that it is seen to find them.
func probe(_ number: Int, _ word: UInt64, _ fraction: Double) -> (UInt64, Int, UInt64, UInt64) {
  (word + word, -number, UInt64(number), UInt64(fraction))
}
