// DNS and search domains through resolvconf, as wg-quick sets them (formats.md 1.2).
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace hats::app {

/// resolvconf's name for an interface: Debian's resolvconf sorts by /etc/resolvconf/interface-order, and the
/// first "PREFIX*" there becomes "PREFIX.NAME" (in practice "tun.NAME"); without that file it is NAME.
[[nodiscard]] std::string resolvconf_name(const std::string& interface,
                                          const std::string& order_file = "/etc/resolvconf/interface-order");

/// What resolvconf is told on its standard input.
[[nodiscard]] std::string resolvconf_record(const std::vector<std::string>& servers,
                                            const std::vector<std::string>& search);

/// `resolvconf -a NAME -m 0 -x`: these servers alone, before all others. The error is a sentence.
[[nodiscard]] std::expected<void, std::string> set_dns(const std::string& name,
                                                       const std::vector<std::string>& servers,
                                                       const std::vector<std::string>& search);
/// `resolvconf -d NAME -f`.
[[nodiscard]] std::expected<void, std::string> unset_dns(const std::string& name);

}  // namespace hats::app
