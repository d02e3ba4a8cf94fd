/* Linux for user mode keeps the registers of its programs in a buffer that is too small for those of processors with AMX.
 * Taking the beginning of them is allowed, giving the beginning back is not, and so it ends before its first program.
 * Loaded into it, this gives them back whole: the rest, which it has not seen, as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* Several times what any processor has. */
#define MOST (64 << 10)

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	static _Thread_local char buffer[MOST];
	va_list words;
	va_start(words, request);
	pid_t pid = va_arg(words, pid_t);
	void *address = va_arg(words, void *);
	void *data = va_arg(words, void *);
	va_end(words);
	if (!real)
		real = dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
		struct iovec given = *(struct iovec *)data, whole = { buffer, sizeof buffer };
		if (real(PTRACE_GETREGSET, pid, address, &whole) == 0 && whole.iov_len > given.iov_len) {
			memcpy(buffer, given.iov_base, given.iov_len);
			return real(PTRACE_SETREGSET, pid, address, &whole);
		}
	}
	return real(request, pid, address, data);
}
