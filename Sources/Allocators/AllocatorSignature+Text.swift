// Written by Scripts/draw-signatures from static libraries of Debian: do not edit.

extension AllocatorSignature {
  /// What `AllocatorSignature.parsed` reads.
  static let text = """
    library glibc libc6-dev 2.36-9+deb12u14
    unit 4ac9 85db74e2488b43f84c8d6bf04531f649
    function malloc 42a0 307 e76241bc1e88f9d5 b+4,3c+4,4c+4,58+4,63+7,b8+4,c1+4,104+4,117+4,126+4,183+4,1b4+4,1e4+4,1eb+4,1f9+4,1fe+2
    function free 4850 ff f205d8e520bb6227 13+7,2a+4,38+4,43+4,82+4,8d+4,a2+4,ac+4,d8+4
    function calloc 4ff0 3b0 765eb096f7883fbe 2d+4,3d+4,4a+4,55+7,83+4,97+4,f6+4,121+4,143+4,14a+4,16c+4,1c2+4,1f4+4
    function realloc 4a80 49a 009dc91fc445f32e 16+4,68+4,76+4,81+4,e8+4,13c+4,147+4,1c4+4,1e1+4
    function posix_memalign 5ba0 77 845ff00bd8c29187 2+4
    function aligned_alloc 4f20 34 da00925c53f806c7 2+4
    function valloc 4f60 35 d08a563ce64e5ac3 2+4,10+4,28+4
    function pvalloc 4fa0 49 799e05e1a7133196 2+4,10+4,37+7
    library musl musl-dev 1.2.3-1
    unit be 2083e71f39f97e01f48b7a18440fa3c7
    function aligned_alloc 0 36d 9c5ff8510e90dd08 34+4,40+4,62+4,e4+4
    call 62 2 0
    unit 78 761a80fa057401f48b78fc4883ff0477
    function free 0 240 f07c9d76cc7f1028 1b+4,113+4,147+4,18b+4,1ab+4,1d3+4,1da+4,1e9+4,1f7+4
    unit 18f 7415668950fec1e2044863d2c640fde0
    function malloc 0 49f 19222aee1cefd419 4e+4,62+4,69+4,78+4,89+4,8e+4,d5+4,de+4,e6+4,10a+4
    unit 7f b64b2083e11f39cf7e01f48b43180fa3
    function realloc 0 4aa 311955c67f902d01 a2+4,cd+4,180+4
    call 404 2 0
    call 430 1 0
    call 492 2 0
    library jemalloc libjemalloc-dev 5.3.0-1
    unit 124db 4424084883f8018b5424104989c70f84
    function malloc c990 d6 4cca110d7b885c00 14+b,26+4
    function free 10b70 c5 60d7c5359f856f74 3+7,61+4
    function calloc e430 1979 b60d2ad2f8db089a 2e+7,81+4,9d+4,a5+4,109+4,19c+4,1f1+4
    function realloc 14c20 1fce 1617ffd1080e67b5 86+7,b2+4,cf+4,d5+4,ee+4,196+4,19b+4
    function posix_memalign ca70 d17 28bf43e94ed0bcdc 2e+7,a3+4,aa+4,cb+4,fa+4,10c+4,15e+4,177+4,1ad+4,1cd+4
    function aligned_alloc d790 c9e c7e31703dcab833e 2b+7,a0+4,a7+4,c8+4,f7+4,10a+4,15c+4,175+4,1ac+4,1cc+4
    function memalign 10c40 c5c 19bc812642791c18 2b+7,93+4,9a+4,bb+4,ea+4,fd+4,14f+4,168+4,19f+4,1bf+4
    function valloc 118a0 b1b 6df3582c95d1f41d 28+7,6f+4,76+4,93+4,a9+4,bc+4,10f+4,14b+4,16b+4,1cf+4,1ff+1
    function mallocx 123c0 2844 56e172680d43aba8 30+7,73+4,92+4,9f+4,b3+4,112+4,137+4,171+4,1ad+4
    function rallocx 14c10 7 41259f134fa23041 -
    function dallocx 180e0 de4 dbfdfbe2573f9e52 21+7,b5+4,c5+4,1ca+4,1e0+4
    function sdallocx 1a080 95 c9f1e6d017192d20 27+b,39+4
    unit 130 76498d04c14801c84c8b80600300004d
    function _Znwm e0 d6 518a223a30c33fd5 14+b,2a+4
    function _ZnwmRKSt9nothrow_t 1d0 d6 2e0109d99345b4fc 14+b,2a+4
    function _ZnwmSt11align_val_t 2c0 2b 63bbe06e70001ebf b+4
    function _ZnwmSt11align_val_tRKSt9nothrow_t 320 2f 95b4f1b5a2302cca b+4
    function _Znam 1c0 5 1ef1277175f42a9c -
    function _ZnamRKSt9nothrow_t 2b0 5 1ef1277175f42a9c -
    function _ZnamSt11align_val_t 2f0 2b ec58bb110f8280a4 b+4
    function _ZnamSt11align_val_tRKSt9nothrow_t 350 2f 8dfddd2c7afc1ada b+4
    function _ZdlPv 380 5 af64644c8602d3a4 1+4
    function _ZdlPvm 3c0 19 bf118b931889aafa a+4
    function _ZdlPvRKSt9nothrow_t 3a0 5 af64644c8602d3a4 1+4
    function _ZdlPvSt11align_val_t 400 5 af64644c8602d3a4 1+4
    function _ZdlPvmSt11align_val_t 440 51 0defa8fe30f933a0 22+4,36+4,43+4
    function _ZdlPvSt11align_val_tRKSt9nothrow_t 420 5 af64644c8602d3a4 1+4
    function _ZdaPv 390 5 af64644c8602d3a4 1+4
    function _ZdaPvm 3e0 19 bf118b931889aafa a+4
    function _ZdaPvRKSt9nothrow_t 3b0 5 af64644c8602d3a4 1+4
    function _ZdaPvSt11align_val_t 410 5 af64644c8602d3a4 1+4
    function _ZdaPvmSt11align_val_t 4a0 51 0defa8fe30f933a0 22+4,36+4,43+4
    function _ZdaPvSt11align_val_tRKSt9nothrow_t 430 5 af64644c8602d3a4 1+4
    call 2cb 0 d790
    call 2fb 0 d790
    call 32b 0 d790
    call 35b 0 d790
    call 381 0 10b70
    call 391 0 10b70
    call 3a1 0 10b70
    call 3b1 0 10b70
    library jemalloc libjemalloc-dev 5.3.0-1
    unit 123f3 4c8d4d0749c1e903430fb60c0c81f9e7
    function malloc c7b0 d6 5e51c471a0816811 d+7,18+7,23+7
    function free 10b00 c5 90d7fc16d41c7ed0 3+7,5b+7
    function calloc e290 1a72 ccf882aa5254560a 2e+7,7a+7,9a+e,10a+4,190+7,1ed+4,1f4+7
    function realloc 14c70 2017 cfc611c94a58b3f1 86+7,ab+7,cb+e,ee+7,19e+4,1a3+4
    function posix_memalign c890 d25 1e4695e9579a3337 2e+7,9c+7,a7+7,c8+7,fa+7,10f+7,169+4,182+4,1b9+4,1d9+4
    function aligned_alloc d5c0 ccc 3862340b32226703 2b+7,99+7,a4+7,c5+7,f8+7,10f+7,167+4,180+4,1b7+4,1d7+4
    function memalign 10bd0 c72 bd5698f2ba19e995 2b+7,8c+7,97+7,b8+7,eb+7,102+7,15c+4,175+4,1ac+4,1cc+4
    function valloc 11850 b2f 0adaf6c458e29e83 28+7,68+7,73+7,91+7,ab+7,c0+7,11a+4,156+4,176+4,1d1+7
    function mallocx 12380 28d4 b5529ae3ba0e4f82 30+7,6c+7,8c+7,9d+7,b2+7,118+4,13d+4,173+7,1b3+7
    function rallocx 14c60 7 23eafb13409d7795 -
    function dallocx 18220 e04 1e22e636f8bb1483 21+7,b2+e,1d2+4,1e5+7
    function sdallocx 1a230 95 e44a423663e8eaf1 20+7,2b+7,36+7
    unit 130 76498d04c14801c84c8b80600300004d
    function _Znwm e0 d6 61b2482df0d0be9b d+7,18+7,27+7
    function _ZnwmRKSt9nothrow_t 1d0 d6 c09a29d99df90e72 d+7,18+7,27+7
    function _ZnwmSt11align_val_t 2c0 2b 63bbe06e70001ebf b+4
    function _ZnwmSt11align_val_tRKSt9nothrow_t 320 2f 95b4f1b5a2302cca b+4
    function _Znam 1c0 5 1ef1277175f42a9c -
    function _ZnamRKSt9nothrow_t 2b0 5 1ef1277175f42a9c -
    function _ZnamSt11align_val_t 2f0 2b ec58bb110f8280a4 b+4
    function _ZnamSt11align_val_tRKSt9nothrow_t 350 2f 8dfddd2c7afc1ada b+4
    function _ZdlPv 380 5 af64644c8602d3a4 1+4
    function _ZdlPvm 3c0 19 bf118b931889aafa a+4
    function _ZdlPvRKSt9nothrow_t 3a0 5 af64644c8602d3a4 1+4
    function _ZdlPvSt11align_val_t 400 5 af64644c8602d3a4 1+4
    function _ZdlPvmSt11align_val_t 440 51 0defa8fe30f933a0 22+4,36+4,43+4
    function _ZdlPvSt11align_val_tRKSt9nothrow_t 420 5 af64644c8602d3a4 1+4
    function _ZdaPv 390 5 af64644c8602d3a4 1+4
    function _ZdaPvm 3e0 19 bf118b931889aafa a+4
    function _ZdaPvRKSt9nothrow_t 3b0 5 af64644c8602d3a4 1+4
    function _ZdaPvSt11align_val_t 410 5 af64644c8602d3a4 1+4
    function _ZdaPvmSt11align_val_t 4a0 51 0defa8fe30f933a0 22+4,36+4,43+4
    function _ZdaPvSt11align_val_tRKSt9nothrow_t 430 5 af64644c8602d3a4 1+4
    call 2cb 0 d5c0
    call 2fb 0 d5c0
    call 32b 0 d5c0
    call 35b 0 d5c0
    call 381 0 10b00
    call 391 0 10b00
    call 3a1 0 10b00
    call 3b1 0 10b00
    library tcmalloc libgoogle-perftools-dev 2.10-1
    unit f6f 4a8b04e84c31f04883f87f0f87c00300
    function malloc 1f80 be 8c15883722721cdd 3+4,c+7,2e+4,93+4,9e+4
    function free 400 15e b5655fef079eab1f 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function calloc da0 18f 26735276f075beea 29+7,55+4,9e+4,ab+4,b2+4,c2+4,db+4,e0+4,f9+4,fe+4,10d+4,128+7,13e+4,15d+4
    function realloc f30 906 df79510e24c49832 3b+4,55+4,92+7,cf+4,11a+4,138+4,142+4,152+4,1d3+4,1e0+7,1ea+4
    function posix_memalign 2140 47 145d19a781fd18e5 22+4
    function aligned_alloc 2040 fe 970c09118445060f 27+4,30+7,52+4,bb+4,c6+4
    function valloc 2190 28 00bc599ce243b53e 7+4,11+4,1b+4
    function pvalloc 21c0 3a b8b629146ef54743 7+4,11+4,1b+4
    function _Znwm 1980 be eed0adafbb3d730d 3+4,c+7,2e+4,93+4,9e+4
    function _ZnwmRKSt9nothrow_t 1c80 be 1684cd6ae3beedad 3+4,c+7,2e+4,93+4,9e+4
    function _ZnwmSt11align_val_t 1a50 10e 02a77cf95b6c5fed 2a+4,33+7,55+4,bb+4,c6+4
    function _ZnwmSt11align_val_tRKSt9nothrow_t 1d40 10e 8bd8582f32b7bac1 2a+4,33+7,55+4,bb+4,c6+4
    function _ZdlPvm 580 165 b7953b201c201e53 3+4,15+7,33+4,8c+4,c8+4,f7+4,102+4,123+4,135+4,144+4,161+4
    function _ZdlPvRKSt9nothrow_t 800 15e 0d4098e44e7db74b 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvSt11align_val_t 960 15e 0dff0bcbc8460e12 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvmSt11align_val_t ac0 15e bfc1f114f4f4f7d5 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvSt11align_val_tRKSt9nothrow_t c20 15e 0ac7e1d310d8d887 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    library tcmalloc libgoogle-perftools-dev 2.10-1
    unit 10d3 48c1e105498d040a4c8b004d85c00f84
    function malloc 24c0 e8 535a3b965dbc5cb7 3+4,13+7,3a+4,bb+4,c3+4
    function free 400 15e b5655fef079eab1f 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function calloc db0 1e8 76a2e116191b88f2 0+7,66+4,d1+4,de+4,f0+4,fc+4,115+4,11a+4,12c+4,15f+4,173+4,181+4,191+4,19f+4,1b8+4
    function realloc fa0 b4f 70c3d56e55033bbe 2c+4,48+4,79+4,b5+7,ff+4,169+4,187+4,191+4
    function posix_memalign 2700 47 145d19a781fd18e5 22+4
    function aligned_alloc 25c0 138 7ca25df1d57d4d29 27+4,34+7,56+4,c3+4,ce+4
    function valloc 2750 28 5b2a535eaf64a5fe 7+4,11+4,1b+4
    function pvalloc 2780 3a 07062b2c6c0fdd03 7+4,11+4,1b+4
    function _Znwm 1cc0 e8 535a3b965dbc5cb7 3+4,13+7,3a+4,bb+4,c3+4
    function _ZnwmRKSt9nothrow_t 20c0 e8 5fb37031ab40b367 3+4,13+7,3a+4,bb+4,c3+4
    function _ZnwmSt11align_val_t 1dc0 138 678443a10ad7ca22 2a+4,37+7,59+4,c3+4,ce+4
    function _ZnwmSt11align_val_tRKSt9nothrow_t 21b0 138 f69b0892334f4e31 2a+4,37+7,59+4,c3+4,ce+4
    function _ZdlPvm 580 17e ea75382a4f3c98ef 3+4,1c+7,3a+4,94+4,e0+4,10b+4,112+4,133+4,145+4,154+4,17a+4
    function _ZdlPvRKSt9nothrow_t 810 15e eb2c97f8d268a4bb 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvSt11align_val_t 970 15e 75ca10ee0fff4442 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvmSt11align_val_t ad0 15e a61461d93b144cc5 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    function _ZdlPvSt11align_val_tRKSt9nothrow_t c30 15e b6b2100cb2779b77 3+4,13+7,1d+4,94+4,fa+4,121+4,130+4,13f+4,152+4,15a+4
    """
}
