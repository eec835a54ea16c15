// SPDX-License-Identifier: GPL-2.0
// Leaks kernel memory on request, in every way that leaktrace is to see, and gives it back on
// request.
//
// A line written to /proc/leaktrace_test is one order: WHAT COUNT SIZE. Each WHAT is a function of
// its own, so that the report must name it. `balance` allocates and frees in every way and leaves
// nothing; `release` frees what was leaked.
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#define MOST 4096

enum kind { BY_KFREE, BY_CACHE, BY_VFREE, BY_PERCPU, BY_PAGES };

struct leak {
	void *memory;
	enum kind kind;
	unsigned int order;
};

static struct leak *leaks;
static unsigned int leak_count;
static struct kmem_cache *cache;
static DEFINE_MUTEX(lock);

static void remember(void *memory, enum kind kind, unsigned int order)
{
	if (memory && leak_count < MOST)
		leaks[leak_count++] = (struct leak){memory, kind, order};
}

// ---- Leaks
// -----------------------------------------------------------------------------------------------------------

static noinline void leak_by_kmalloc(unsigned int count, size_t size)
{
	for (unsigned int i = 0; i < count; i++)
		remember(kmalloc(size, GFP_KERNEL), BY_KFREE, 0);
}

static noinline void leak_from_cache(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		remember(kmem_cache_alloc(cache, GFP_KERNEL), BY_CACHE, 0);
}

static noinline void leak_in_bulk(unsigned int count)
{
	void *objects[64];

	while (count) {
		unsigned int part = min_t(unsigned int, count, ARRAY_SIZE(objects));

		if (!kmem_cache_alloc_bulk(cache, GFP_KERNEL, part, objects))
			return;
		for (unsigned int i = 0; i < part; i++)
			remember(objects[i], BY_CACHE, 0);
		count -= part;
	}
}

static noinline void leak_by_vmalloc(unsigned int count, size_t size)
{
	for (unsigned int i = 0; i < count; i++)
		remember(vmalloc(size), BY_VFREE, 0);
}

static noinline void leak_percpu(unsigned int count, size_t size)
{
	for (unsigned int i = 0; i < count; i++)
		remember((void __force *)__alloc_percpu(size, 8), BY_PERCPU, 0);
}

static noinline void leak_pages(unsigned int count, unsigned int order)
{
	for (unsigned int i = 0; i < count; i++)
		remember(alloc_pages(GFP_KERNEL, order), BY_PAGES, order);
}

// Takes eight pages, divides them, and gives back all but the third, the seventh and the last.
static noinline void leak_split_pages(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct page *pages = alloc_pages(GFP_KERNEL, 3);

		if (!pages)
			return;
		split_page(pages, 3);
		for (unsigned int page = 0; page < 8; page++) {
			if (page == 2 || page == 6 || page == 7)
				remember(pages + page, BY_PAGES, 0);
			else
				__free_pages(pages + page, 0);
		}
	}
}

static unsigned int timer_count;
static size_t timer_size;
static DECLARE_COMPLETION(timer_is_done);

static noinline void leak_in_timer(struct timer_list *timer)
{
	for (unsigned int i = 0; i < timer_count; i++)
		remember(kmalloc(timer_size, GFP_ATOMIC), BY_KFREE, 0);
	complete(&timer_is_done);
}

static DEFINE_TIMER(leaking_timer, leak_in_timer);

static void leak_by_timer(unsigned int count, size_t size)
{
	timer_count = count;
	timer_size = size;
	reinit_completion(&timer_is_done);
	mod_timer(&leaking_timer, jiffies + 1);
	wait_for_completion(&timer_is_done);
}

// ---- Balance
// ---------------------------------------------------------------------------------------------------------

struct with_head {
	char bytes[200];
	struct rcu_head head;
};

static noinline void balance_kmalloc(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		void *small = kmalloc(40, GFP_KERNEL), *large = kmalloc(50000, GFP_KERNEL);

		small = krealloc(small, 300, GFP_KERNEL);
		kfree(small);
		kfree(large);
		kfree(kmemdup(&leak_count, sizeof(leak_count), GFP_KERNEL));
		kvfree(kvmalloc(100000, GFP_KERNEL));
	}
}

static noinline void balance_rcu(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct with_head *object = kmalloc(sizeof(*object), GFP_KERNEL);

		if (object)
			kfree_rcu(object, head);
	}
	rcu_barrier();
}

static noinline void balance_cache(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
		kfree(kmem_cache_alloc(cache, GFP_KERNEL));
#endif
	}
}

// Allocated one by one and freed in bulk, and the other way round.
static noinline void balance_bulk(unsigned int count)
{
	void *objects[32];

	for (unsigned int round = 0; round < count; round++) {
		unsigned int i;

		for (i = 0; i < ARRAY_SIZE(objects); i++)
			objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		kmem_cache_free_bulk(cache, ARRAY_SIZE(objects), objects);
		if (!kmem_cache_alloc_bulk(cache, GFP_KERNEL, ARRAY_SIZE(objects), objects))
			return;
		for (i = 0; i < ARRAY_SIZE(objects); i++)
			kmem_cache_free(cache, objects[i]);
	}
}

static noinline void balance_vmalloc(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		vfree(vmalloc(30000));
}

static noinline void balance_percpu(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		free_percpu(__alloc_percpu(72, 8));
}

static noinline void balance_pages(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct page *pages = alloc_pages(GFP_KERNEL, 2);
		void *exact = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);

		if (pages)
			__free_pages(pages, 2);
		if (exact)
			free_pages_exact(exact, 5 * PAGE_SIZE);
		pages = alloc_pages(GFP_KERNEL, 4);
		if (!pages)
			return;
		split_page(pages, 4);
		for (unsigned int page = 0; page < 16; page++)
			__free_pages(pages + (page * 5) % 16, 0);
	}
}

static noinline void balance(unsigned int count)
{
	balance_kmalloc(count);
	balance_rcu(count);
	balance_cache(count);
	balance_bulk(count);
	balance_vmalloc(count);
	balance_percpu(count);
	balance_pages(count);
}

// ---- Orders
// ----------------------------------------------------------------------------------------------------------

static void release(void)
{
	while (leak_count) {
		struct leak leak = leaks[--leak_count];

		switch (leak.kind) {
		case BY_KFREE:
			kfree(leak.memory);
			break;
		case BY_CACHE:
			kmem_cache_free(cache, leak.memory);
			break;
		case BY_VFREE:
			vfree(leak.memory);
			break;
		case BY_PERCPU:
			free_percpu((void __percpu __force *)leak.memory);
			break;
		case BY_PAGES:
			__free_pages(leak.memory, leak.order);
			break;
		}
	}
}

static int obey(const char *what, unsigned int count, size_t size)
{
	if (!strcmp(what, "kmalloc"))
		leak_by_kmalloc(count, size);
	else if (!strcmp(what, "cache"))
		leak_from_cache(count);
	else if (!strcmp(what, "bulk"))
		leak_in_bulk(count);
	else if (!strcmp(what, "vmalloc"))
		leak_by_vmalloc(count, size);
	else if (!strcmp(what, "percpu"))
		leak_percpu(count, size);
	else if (!strcmp(what, "pages"))
		leak_pages(count, size);
	else if (!strcmp(what, "split"))
		leak_split_pages(count);
	else if (!strcmp(what, "timer"))
		leak_by_timer(count, size);
	else if (!strcmp(what, "balance"))
		balance(count);
	else if (!strcmp(what, "release"))
		release();
	else
		return -EINVAL;
	return 0;
}

static ssize_t write_order(struct file *file, const char __user *text, size_t length,
			   loff_t *position)
{
	char line[64], what[32];
	unsigned int count = 0;
	size_t size = 0;
	int error;

	if (length >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, length))
		return -EFAULT;
	line[length] = 0;
	if (sscanf(line, "%31s %u %zu", what, &count, &size) < 1)
		return -EINVAL;
	mutex_lock(&lock);
	error = obey(what, count, size);
	mutex_unlock(&lock);
	return error ? error : length;
}

static const struct proc_ops operations = {.proc_write = write_order};

// With it the kernel does not merge the cache with others of its size.
static void construct(void *object)
{
	memset(object, 0, 8);
}

static int __init start(void)
{
	leaks = vmalloc(MOST * sizeof(*leaks));
	cache = kmem_cache_create("leaktrace_test_cache", 136, 0, 0, construct);
	if (!leaks || !cache || !proc_create("leaktrace_test", 0200, NULL, &operations))
		return -ENOMEM;
	return 0;
}

static void __exit stop(void)
{
	remove_proc_entry("leaktrace_test", NULL);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	timer_shutdown_sync(&leaking_timer);
#else
	del_timer_sync(&leaking_timer);
#endif
	release();
	rcu_barrier();
	kmem_cache_destroy(cache);
	vfree(leaks);
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Leaks memory on request, for the tests of leaktrace");
