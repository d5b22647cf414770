#include "transport/arena.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace hats::transport {

std::expected<std::unique_ptr<Arena>, int> Arena::make(uint32_t slabs) {
  if (slabs == 0 || slabs > kMaxSlabs) return std::unexpected(EINVAL);
  void* memory = mmap(nullptr, size_t{slabs} * kSlabSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return std::unexpected(errno);
  return std::unique_ptr<Arena>(new Arena(static_cast<uint8_t*>(memory), slabs));
}

Arena::Arena(uint8_t* memory, uint32_t slabs) : memory_(memory), leases_(slabs, 0) {
  free_.reserve(slabs);
  for (uint32_t i = slabs; i > 0; --i) free_.push_back(i - 1);
}

Arena::~Arena() {
  munmap(memory_, leases_.size() * size_t{kSlabSize});
}

}  // namespace hats::transport
