#include "tools/hatsd-user/quick/save_config.hpp"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>

#include "crypto/secret.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {

std::expected<void, std::string> save_config(const std::string& file, const config::InterfaceConfig& config,
                                             const wg::DeviceSnapshot& device, tun::Netlink& netlink,
                                             uint32_t index) {
  config::LiveInterface live;
  const auto addresses = netlink.addresses(index);
  if (!addresses) {
    return std::unexpected("addresses cannot be read: " + std::string(std::strerror(addresses.error())));
  }
  live.addresses = *addresses;
  if (config.mtu) {
    const auto link = netlink.link(index);
    live.mtu = link ? link->mtu : *config.mtu;
  }
  std::error_code error;
  auto target = std::filesystem::canonical(file, error);
  if (error) target = file;  // it was deleted meanwhile: written anew
  std::optional<FileOwner> owner;
  struct stat status{};
  if (stat(target.c_str(), &status) == 0) owner = FileOwner{status.st_uid, status.st_gid};

  // By its name: after the next boot the index may be another link's.
  const auto zone_name = [&](uint32_t scope) {
    const auto link = netlink.link(scope);
    return link ? link->name : std::string();
  };
  std::string text = config::format_wg_quick(config, device, live, zone_name);
  const auto replaced = replace_file(target.string(), text, owner);
  const std::span<char> bytes(text);
  crypto::wipe({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  if (!replaced) return std::unexpected(std::strerror(replaced.error()));
  return {};
}

}  // namespace hats::app
