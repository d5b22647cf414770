#include "tools/hatsd-user/control/descriptors.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace hats::app {

namespace {

struct ControlSpace {
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kMaxDescriptors * sizeof(int))> bytes{};
};

}  // namespace

ssize_t send_with(int fd, std::span<const uint8_t> bytes, std::span<const int> descriptors) noexcept {
  iovec part{.iov_base = const_cast<uint8_t*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlSpace space;
  if (!descriptors.empty()) {
    const size_t size = std::min(descriptors.size(), kMaxDescriptors) * sizeof(int);
    message.msg_control = space.bytes.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), descriptors.data(), size);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t receive_with(int fd, std::span<uint8_t> bytes, Descriptors& descriptors, int flags) {
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  ControlSpace space;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes.data();
  message.msg_controllen = space.bytes.size();
  const ssize_t count = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
  if (count < 0) return count;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t size = header->cmsg_len - CMSG_LEN(0);
    for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
      int one = -1;
      std::memcpy(&one, CMSG_DATA(header) + at, sizeof one);
      transport::UniqueFd received(one);
      if (descriptors.size() < kMaxDescriptors) descriptors.push_back(std::move(received));
    }
  }
  return count;
}

}  // namespace hats::app
