// Blocks of an interpreter: 40 of 300,001 bytes, referred to by buffers in V8's heap and by Node's own list of them.
const fs = require('fs');

function step() {
  const byte = Buffer.alloc(1);
  fs.writeSync(1, 'ready\n');
  while (fs.readSync(0, byte, 0, 1, null) === 1 && byte[0] !== 10) {}
}

step();
const kept = Array.from({ length: 40 }, () => Buffer.allocUnsafeSlow(300001));
step();
if (kept.length !== 40) process.exit(1);
