// What `ip tunnel show` and `ip -6 tunnel show` of iproute2 6.1 print of a tunnel (formats.md 4.3), byte for
// byte: operators and their scripts read it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/config/dsfield.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::config {

/// The name of an interface by its index; "" if there is none, and then nothing is printed of it.
using LinkName = std::function<std::string(uint32_t index)>;

/// One line, and one more for each of sequence numbers and checksums each way; no line end at the end. What
/// ip(8) does not know (keepalives, ignore-df) is not in it: ignore-df shows as nopmtudisc, as it does there.
[[nodiscard]] std::string tunnel_text(const std::string& name, const encap::TunnelConfig& tunnel,
                                      const DsfieldNames& names, const LinkName& link_name);

}  // namespace hats::config
