#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"

namespace hats::config {

std::optional<Endpoint> EndpointText::numeric() const {
  const auto number = parse_decimal(port, 65'535);
  if (!number) return std::nullopt;
  Endpoint out;
  out.port = static_cast<uint16_t>(*number);
  const size_t percent = host.find('%');
  if (percent != std::string::npos) {
    const auto zone = parse_decimal(std::string_view(host).substr(percent + 1), 0xffff'ffff);
    if (!zone) return std::nullopt;
    out.scope_id = static_cast<uint32_t>(*zone);
  }
  const auto address = IpAddress::parse(std::string_view(host).substr(0, percent));
  if (!address || (out.scope_id != 0 && address->family != Family::v6)) return std::nullopt;
  out.address = *address;
  return out;
}

std::string EndpointText::text() const {
  return host.find(':') == std::string::npos ? host + ':' + port : '[' + host + "]:" + port;
}

}  // namespace hats::config
