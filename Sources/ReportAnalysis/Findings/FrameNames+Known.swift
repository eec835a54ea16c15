/// Functions that hand out memory, by the names under which they are known.
enum AllocatorNames {
  /// C functions, and wrappers of them in libraries that many programs use.
  private static let functions: Set<Substring> = Set(
    ["", "__libc_", "__", "je_", "tc_", "mi_", "_rjem_", "_rjem_je_", "__interceptor_", "__wrap_", "__real_"].flatMap {
      prefix in
      [
        "malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "valloc",
        "pvalloc",
        "mallocx", "smallocx", "rallocx", "new", "newarray",
      ].map { Substring(prefix + $0) }
    } + [
      "_int_malloc", "_int_realloc", "_int_memalign", "sysmalloc", "malloc_consolidate", "tcache_init", "mmap",
      "mmap64",
      "__mmap", "__mmap64", "mremap", "brk", "sbrk", "__sbrk", "__brk", "cfree", "malloc_default",
      // Wrappers that end the program when memory is short.
      "xmalloc", "xcalloc", "xrealloc", "xzalloc", "xstrdup", "xstrndup", "xmemdup", "xnmalloc", "xnrealloc",
      "xvasprintf",
      "xasprintf", "xpalloc", "x2realloc", "x2nrealloc", "xreallocarray", "ximalloc", "xicalloc", "xirealloc",
      "emalloc",
      "ecalloc", "erealloc", "estrdup", "safe_malloc", "safe_calloc", "safe_realloc", "zalloc",
      // GLib.
      "g_malloc", "g_malloc0", "g_malloc_n", "g_malloc0_n", "g_realloc", "g_realloc_n", "g_try_malloc", "g_try_malloc0",
      "g_try_realloc", "g_try_malloc_n", "g_try_realloc_n", "g_aligned_alloc", "g_slice_alloc", "g_slice_alloc0",
      "g_slice_copy", "g_memdup", "g_memdup2", "g_strdup", "g_strndup",
      // OpenSSL, SQLite, libxml, APR, nginx, PostgreSQL, redis, FFmpeg, talloc, libuv.
      "CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_realloc", "CRYPTO_clear_realloc", "CRYPTO_strdup", "CRYPTO_memdup",
      "OPENSSL_malloc", "OPENSSL_zalloc", "sqlite3_malloc", "sqlite3_malloc64", "sqlite3_realloc", "sqlite3_realloc64",
      "sqlite3Malloc", "sqlite3MallocZero", "sqlite3Realloc", "sqlite3DbMallocRaw", "sqlite3DbMallocRawNN",
      "sqlite3DbMallocZero", "sqlite3DbRealloc", "sqlite3MemMalloc", "sqlite3MemRealloc", "mallocWithAlarm",
      "dbMallocRawFinish", "dbReallocFinish", "xmlMalloc", "xmlMemMalloc", "apr_palloc", "apr_pcalloc",
      "allocator_alloc",
      "ngx_alloc", "ngx_calloc", "ngx_palloc", "ngx_pcalloc", "ngx_pnalloc", "ngx_palloc_large", "ngx_palloc_block",
      "ngx_memalign", "ngx_create_pool", "palloc", "palloc0", "repalloc", "MemoryContextAlloc",
      "MemoryContextAllocZero",
      "AllocSetAlloc", "zmalloc", "zcalloc", "zrealloc", "ztrymalloc", "ztrycalloc", "ztryrealloc", "zmalloc_usable",
      "ztrymalloc_usable", "ztrymalloc_usable_internal", "ztrycalloc_usable", "ztrycalloc_usable_internal",
      "ztryrealloc_usable", "ztryrealloc_usable_internal", "zrealloc_usable", "zcalloc_num", "zcalloc_usable",
      "zstrdup",
      "zmalloc_cache_aligned", "av_malloc", "av_mallocz", "av_realloc", "av_calloc", "talloc_named_const", "__talloc",
      "_talloc_zero", "uv__malloc", "uv__calloc", "uv__realloc", "uv__reallocf", "uv__strdup",
      // Interpreters.
      "PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_RawMalloc", "PyMem_RawCalloc", "PyMem_RawRealloc",
      "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "_PyMem_RawMalloc", "_PyMem_RawCalloc",
      "_PyMem_RawRealloc", "_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Arena",
      "_PyObject_ArenaMmap", "_PyMem_ArenaAlloc", "new_arena", "allocate_from_new_pool", "pymalloc_alloc",
      "PyObject_GC_New",
      "_PyObject_GC_New", "_PyObject_GC_NewVar", "_PyObject_GC_Malloc", "_PyObject_GC_Alloc", "_PyObject_GC_Resize",
      "_PyObject_New", "_PyObject_NewVar", "PyType_GenericAlloc", "_PyType_AllocNoTrack", "gc_alloc", "_emalloc",
      "_ecalloc", "_erealloc", "_erealloc2", "_estrdup", "_estrndup", "_safe_emalloc", "_safe_malloc", "_safe_erealloc",
      "__zend_malloc", "__zend_calloc", "__zend_realloc", "zend_mm_alloc_int", "zend_mm_alloc_huge",
      "zend_mm_chunk_alloc",
      "zend_mm_mmap", "zend_mm_alloc_pages", "zend_mm_realloc_huge", "ruby_xmalloc", "ruby_xcalloc", "ruby_xrealloc",
      "ruby_xmalloc2", "ruby_xrealloc2", "rb_xmalloc_mul_add", "objspace_xmalloc0", "objspace_xcalloc",
      "objspace_xrealloc", "heap_page_allocate", "Perl_safesysmalloc", "Perl_safesyscalloc", "Perl_safesysrealloc",
      "l_alloc", "luaM_malloc_", "luaM_realloc_", "lj_alloc_malloc", "lj_alloc_realloc", "os::malloc", "os::realloc",
      "os::strdup", "AllocateHeap", "AllocateHeapWithFailStrategy", "ReallocateHeap",
      // Swift, Rust, Go.
      "swift_slowAlloc", "swift_slowAllocTyped", "swift_allocObject", "swift_initStackObject", "swift_allocBox",
      "__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc", "__rdl_alloc", "__rdl_alloc_zeroed", "__rdl_realloc",
      "__rg_alloc", "__rg_alloc_zeroed", "__rg_realloc", "runtime.mallocgc", "runtime.newobject", "runtime.makeslice",
      "runtime.growslice", "runtime.sysAlloc", "_cgo_malloc", "x_cgo_malloc", "__cxa_allocate_exception",
    ])

  private static let prefixes = [
    "swift_allocObject", "swift_slowAlloc", "__rustc::__r", "tcmalloc::", "je_arena_", "je_large_", "je_tcache_",
    "je_malloc_", "mi_heap_", "_mi_", "do_malloc", "jemalloc::", "mimalloc::", "_RNvCs", "partition_alloc::",
  ]

  static func contains(_ name: FunctionName) -> Bool {
    let text = name.qualified
    // The class of an `operator new` does not matter: it hands out memory.
    if text.hasPrefix("operator new") || text.hasPrefix("_Znwm") || text.hasPrefix("_Znam") { return true }
    if text.hasSuffix("::operator new") || text.hasSuffix("::operator new[]") { return true }
    // `malloc@plt`, `realloc.part.0` and `malloc.cold` are the function itself.
    var plain = text.prefix { $0 != "@" }
    for ending in [".part.", ".constprop.", ".isra.", ".cold", ".lto_priv."]
    where plain.utf8.contains(UInt8(ascii: ".")) {
      if let range = plain.firstRange(of: ending) { plain = plain[..<range.lowerBound] }
    }
    if functions.contains(plain) { return true }
    if plain.hasPrefix("_RNvCs") { return plain.contains("___rustc") }
    return prefixes.contains { $0 != "_RNvCs" && plain.hasPrefix($0) }
  }
}

/// Functions of the C library, of what starts programs and threads, and of runtimes, for programs that contain them.
enum RuntimeNames {
  private static let functions: Set<Substring> = [
    "_start", "start_thread", "thread_start", "clone", "clone3", "__clone", "__clone3", "__clone_internal", "_init",
    "call_init",
    "__do_global_ctors_aux", "__static_initialization_and_destruction_0", "strdup", "__strdup", "strndup", "__strndup",
    "asprintf", "__asprintf", "vasprintf", "__vasprintf_internal", "__vasprintf_chk", "__asprintf_chk", "getline",
    "getdelim", "__getdelim", "fopen", "fopen64", "__fopen_internal", "fdopen", "opendir", "__opendir", "__alloc_dir",
    "scandir", "setlocale", "getaddrinfo", "open_memstream", "qsort", "qsort_r", "qsort_r@GLIBC", "tzset", "regcomp",
    "re_compile_internal", "realpath", "getcwd", "pthread_create", "allocate_stack", "wcsdup", "tsearch", "hcreate_r",
    "setenv", "putenv", "__add_to_environ", "rust_begin_unwind", "lang_start", "crosscall2", "_cgo_topofstack",
    "_cgo_sys_thread_start", "threadentry", "x_cgo_thread_start",
  ]
  private static let prefixes = [
    "__libc_start", "__libc_", "_dl_", "_IO_", "__GI_", "_nl_", "__cxa_", "_GLOBAL__sub_I_", "__gthread", "pthread_",
    "__pthread_", "swift_", "$s", "_swift_", "swift::", "__nss_", "__res_", "runtime.", "runtime/", "_rt0_", "__rust_",
    "rust_", "_Unwind_", "__tls_", "__interceptor_", "__asan_", "__lsan_",
  ]

  static func contains(_ name: FunctionName) -> Bool {
    let text = name.qualified
    if functions.contains(text) { return true }
    return prefixes.contains { prefix in
      guard text.hasPrefix(prefix) else { return false }
      switch prefix {
      // Swift's standard library is the module `Swift`; the names of programs' own modules begin in the same way.
      case "$s": return text.hasPrefix("$sS") || text.hasPrefix("$ss")
      case "rust_": return text.hasPrefix("rust_begin") || text.hasPrefix("rust_panic") || text == "rust_eh_personality"
      case "swift_": return !name.hasParameters
      case "pthread_": return !name.hasParameters
      default: return true
      }
    }
  }
}

/// Functions of the kernel.
enum KernelFunctions {
  private static let allocatorPrefixes = [
    "kmalloc", "__kmalloc", "kzalloc", "kcalloc", "krealloc", "__do_krealloc", "kmem_cache_alloc", "__kmem_cache_alloc",
    "__do_kmalloc", "slab_alloc", "___slab_alloc", "__slab_alloc", "allocate_slab", "new_slab", "slab_post_alloc",
    "kmemdup", "kstrdup", "kstrndup", "kasprintf", "kvasprintf", "memdup_user", "vmemdup_user", "strndup_user",
    "kvmalloc",
    "__kvmalloc", "kvzalloc", "kvrealloc", "kvmemdup", "vmalloc", "__vmalloc", "vzalloc", "vmap", "alloc_vmap_area",
    "__get_vm_area_node", "alloc_pages", "__alloc_pages", "alloc_frozen_pages", "__alloc_frozen_pages", "__folio_alloc",
    "folio_alloc", "vma_alloc_folio", "get_zeroed_page", "__get_free_page", "get_free_pages", "alloc_page_",
    "pcpu_alloc",
    "__alloc_percpu", "alloc_percpu", "devm_kmalloc", "devm_kzalloc", "mempool_alloc", "dma_pool_alloc", "dma_alloc_",
    "get_page_from_freelist", "prep_new_page", "post_alloc_hook", "mempool_kmalloc", "kmem_cache_zalloc", "alloc_slab",
  ]
  private static let entries: Set<String> = [
    "do_syscall_64", "entry_SYSCALL_64_after_hwframe", "entry_SYSCALL_64", "x64_sys_call", "ret_from_fork",
    "ret_from_fork_asm", "kthread", "asm_exc_page_fault", "exc_page_fault", "do_syscall_x64", "entry_SYSCALL_compat",
  ]

  static func role(of function: String?) -> FrameRole {
    guard let function else { return .program }
    if allocatorPrefixes.contains(where: function.hasPrefix) { return .allocator }
    return entries.contains(function) ? .runtime : .program
  }
}
