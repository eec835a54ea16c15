<?php
// Blocks of an interpreter: keys of OpenSSL, referred to by objects in PHP's own heap.
function step() {
  echo "ready\n";
  fgets(STDIN);
}

step();
$kept = [];
for ($i = 0; $i < 10; $i++) {
  $kept[] = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
}
step();
