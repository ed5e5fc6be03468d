/* Stands for libcuda.so.1 where there is no GPU: "device" memory is memory of this computer, and every copy is done at
   once. It cannot capture graphs, and says so. Only what usassist/engine/cuda.py declares is here. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_SUPPORTED = 801 };

CUresult cuInit(unsigned flags) { return flags == 0 ? OK : INVALID; }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return OK; }
CUresult cuGetErrorName(int code, const char **name) {
    *name = code == NO_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NOT_SUPPORTED ? "CUDA_ERROR_NOT_SUPPORTED" : "CUDA_ERROR_INVALID_VALUE";
    return OK;
}
CUresult cuDeviceGetCount(int *count) { *count = 1; return OK; }
CUresult cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal == 0 ? OK : INVALID; }
CUresult cuDeviceGetName(char *name, int length, int device) { (void)device; strncpy(name, "no GPU (test double)", (size_t)length); return OK; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) { (void)device; *value = attribute == 75 ? 9 : 0; return OK; }
CUresult cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)0x1000; return OK; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return OK; }
CUresult cuCtxPushCurrent_v2(void *context) { return context ? OK : INVALID; }
CUresult cuCtxPopCurrent_v2(void **context) { *context = (void *)0x1000; return OK; }
CUresult cuMemAlloc_v2(uint64_t *address, size_t size) { void *p = calloc(1, size); *address = (uint64_t)(uintptr_t)p; return p ? OK : NO_MEMORY; }
CUresult cuMemFree_v2(uint64_t address) { free((void *)(uintptr_t)address); return OK; }
CUresult cuMemHostRegister_v2(void *p, size_t size, unsigned flags) { (void)flags; return p && size ? OK : INVALID; }
CUresult cuMemHostUnregister(void *p) { return p ? OK : INVALID; }
CUresult cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) { memcpy((void *)(uintptr_t)to, from, size); return stream ? OK : INVALID; }
CUresult cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) { memcpy(to, (void *)(uintptr_t)from, size); return stream ? OK : INVALID; }
CUresult cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = (void *)0x2000; return OK; }
CUresult cuStreamSynchronize(void *stream) { return stream ? OK : INVALID; }
CUresult cuStreamDestroy_v2(void *stream) { return stream ? OK : INVALID; }
CUresult cuStreamBeginCapture_v2(void *stream, int mode) { (void)stream; (void)mode; return NOT_SUPPORTED; }
CUresult cuStreamEndCapture(void *stream, void **graph) { (void)stream; *graph = 0; return NOT_SUPPORTED; }
CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, uint64_t flags) { (void)graph; (void)flags; *executable = 0; return NOT_SUPPORTED; }
CUresult cuGraphLaunch(void *executable, void *stream) { (void)executable; (void)stream; return NOT_SUPPORTED; }
CUresult cuGraphExecDestroy(void *executable) { (void)executable; return OK; }
CUresult cuGraphDestroy(void *graph) { (void)graph; return OK; }
