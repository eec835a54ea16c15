# Blocks of an interpreter: 40 of 3,001 bytes, referred to by strings in Ruby's own heap pages.
def step
  puts "ready"
  $stdout.flush
  $stdin.gets
end

step
$kept = Array.new(40) { "x" * 3000 }
step
