// CCapstone: see include/CCapstone.h.
//
// Capstone's core names the decoders of eleven other processors, which makes the linker take 5 MB of tables that nothing
// here can reach. The definitions below stand in for their entry points, so that the archive's members stay out.
#include "CCapstone.h"

#define WITHOUT_ARCHITECTURE(name)                                     \
  cs_err name##_global_init(void *handle);                             \
  cs_err name##_option(void *handle, cs_opt_type type, size_t value);  \
  cs_err name##_global_init(void *handle) {                            \
    (void)handle;                                                      \
    return CS_ERR_ARCH;                                                \
  }                                                                    \
  cs_err name##_option(void *handle, cs_opt_type type, size_t value) { \
    (void)handle, (void)type, (void)value;                             \
    return CS_ERR_ARCH;                                                \
  }

WITHOUT_ARCHITECTURE(AArch64)
WITHOUT_ARCHITECTURE(ARM)
WITHOUT_ARCHITECTURE(EVM)
WITHOUT_ARCHITECTURE(M680X)
WITHOUT_ARCHITECTURE(M68K)
WITHOUT_ARCHITECTURE(Mips)
WITHOUT_ARCHITECTURE(PPC)
WITHOUT_ARCHITECTURE(Sparc)
WITHOUT_ARCHITECTURE(SystemZ)
WITHOUT_ARCHITECTURE(TMS320C64x)
WITHOUT_ARCHITECTURE(XCore)
