#include "tools/hatsd-user/quick/service_port.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace hats::app {

std::optional<uint16_t> service_port(const std::string& service) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(nullptr, service.c_str(), &hints, &found) != 0) return std::nullopt;
  const uint16_t port = found->ai_family == AF_INET
                            ? reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_port
                            : reinterpret_cast<const sockaddr_in6*>(found->ai_addr)->sin6_port;
  freeaddrinfo(found);
  return ntohs(port);
}

}  // namespace hats::app
