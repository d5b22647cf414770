#include "tools/hatsd-user/daemon/interface.hpp"

#include <net/if.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "tools/hatsd-user/control/local_socket.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

namespace {

/// `txqueuelen` of the kernel's own tunnels. A TUN has 500 by itself, which a burst of small packets fills
/// while its reader waits for a CPU.
constexpr uint32_t kQueueLength = 1'000;

}  // namespace

Interface::Interface(Options options, const Surroundings& around, Ended ended)
    : options_(std::move(options)),
      around_(around),
      ipv6_(around_.netlink),
      ended_(std::move(ended)),
      self_(std::make_shared<Interface*>(this)) {
  if (options_.id.empty()) options_.id = options_.name;
}

Interface::~Interface() {
  remove_tunnel();
}

AppResult<tun::TunDevice> Interface::make_link(uint32_t mtu) {
  auto tun = options_.tun_fd >= 0 ? tun::TunDevice::adopt(options_.tun_fd, options_.offload)
                                  : tun::TunDevice::create(options_.name, options_.offload);
  if (!tun) return fail(options_.name + ": " + tun.error().message);
  mtu_ = mtu;
  auto link = around_.netlink.link(tun->name());
  if (!link) {
    moved_ = true;  // a descriptor given to us may belong to another namespace
    return std::move(*tun);
  }
  index_ = link->index;
  up_ = (link->flags & IFF_UP) != 0;
  if (options_.tun_fd >= 0) {
    mtu_ = link->mtu;
    return std::move(*tun);
  }
  if (const int error = around_.netlink.set_mtu(index_, mtu_); error != 0) {
    return fail(errno_text(options_.name + ": cannot set the MTU", error));
  }
  // It works without, too: no more than a longer or a shorter queue hangs on it.
  (void)around_.netlink.set_queue_length(index_, kQueueLength);
  return std::move(*tun);
}

AppResult<void> Interface::change_tunnel(const config::TunnelCommand& /*command*/) {
  return fail(name() + " is a WireGuard interface: wg(8) changes it");
}

Tunnel::Notify Interface::notices() {
  return [self = self_, io = &around_.io](Tunnel::Notice notice) {
    boost::asio::post(*io, [self, notice] {
      if (*self == nullptr) return;
      if (notice == Tunnel::Notice::closed) {
        (*self)->end(Ending::link_gone);
      } else if (notice == Tunnel::Notice::used_while_down) {
        (*self)->refresh_link();
      } else if (notice == Tunnel::Notice::merging_refused) {
        (*self)->warn(
            "the kernel refuses merged packets on this TUN queue: they are written one by one, which costs "
            "CPU");
      } else {
        (*self)->noticed(notice);
      }
    });
  };
}

void Interface::set_tunnel(Tunnel* tunnel) {
  base_tunnel_ = tunnel;
  around_.worker.call([&] { base_tunnel_->set_place(index_, !moved_); });
  if (up_) set_link(mtu_, true);
}

void Interface::remove_tunnel() {
  *self_ = nullptr;
  if (base_tunnel_ != nullptr) around_.worker.remove(std::exchange(base_tunnel_, nullptr));
}

void Interface::end(Ending why) {
  if (std::exchange(ended_already_, true)) return;
  const auto ended = ended_;  // the call may well destroy this object
  ended(*this, why);
}

void Interface::warn(std::string text) {
  spdlog::warn("{}: {}", name(), text);
  if (std::ranges::find(warnings_, text) == warnings_.end()) warnings_.push_back(std::move(text));
}

void Interface::set_file_warnings(std::vector<std::string> texts) {
  for (const std::string& text : texts) {
    if (std::ranges::find(of_file_, text) == of_file_.end()) spdlog::warn("{}: {}", name(), text);
  }
  of_file_ = std::move(texts);
}

bool Interface::is_told(const std::string& text) const {
  return std::ranges::any_of(of_host_, [&](const std::string& warning) { return warning.contains(text); });
}

void Interface::set_warning(Cause cause, std::string text) {
  std::string& present = of_causes_[static_cast<size_t>(cause)];
  if (text == present) return;
  // The host set-up, which said the same with the line of the file, is no longer right either.
  if (!present.empty()) {
    std::erase_if(of_host_, [&](const std::string& warning) { return warning.contains(present); });
  }
  present = std::move(text);
  if (!present.empty() && !is_told(present)) spdlog::warn("{}: {}", name(), present);
}

std::vector<std::string> Interface::warnings() const {
  std::vector<std::string> out = warnings_;
  out.insert(out.end(), of_file_.begin(), of_file_.end());
  out.insert(out.end(), of_host_.begin(), of_host_.end());
  for (const std::string& text : of_causes_) {
    if (!text.empty() && !is_told(text)) out.push_back(text);
  }
  return out;
}

// ---- The link ----

int Interface::set_link(uint32_t mtu, bool up) {
  mtu_ = mtu;
  up_ = up;
  return around_.worker.call([&] {
    base_tunnel_->set_place(index_, !moved_);
    base_tunnel_->set_mtu(mtu);
    return base_tunnel_->set_up(read_clocks(), up);
  });
}

void Interface::refresh_link() {
  if (moved_) return;  // events alone tell of it there
  const auto link = around_.netlink.link(index_);
  if (link) set_link(link->mtu, (link->flags & IFF_UP) != 0);
}

void Interface::link_event(const tun::LinkEvent& event) {
  using Kind = tun::LinkEvent::Kind;
  const auto own_nsid = moved_ ? nsid_ : std::nullopt;
  if (event.index != index_ || event.nsid != own_nsid || event.from_other_namespace != moved_) {
    // A link comes home, or moves on, under an id that we may not know.
    if (moved_ && event.kind == Kind::link_new) find_link(event);
    return;
  }
  if (event.kind == Kind::link_moved) {
    spdlog::info("{}: moved to another network namespace; its sockets stay in this one", name());
    moved_ = true;
    nsid_ = event.new_nsid;
    if (event.new_index != 0) index_ = event.new_index;
    heard_ = {.mtu = mtu_, .up = false};  // a move takes a link down
    return;
  }
  if (event.kind == Kind::link_deleted) return check_link();
  if (event.kind != Kind::link_new) return;
  heard_ = {.mtu = event.link.mtu, .up = (event.link.flags & IFF_UP) != 0};
}

void Interface::link_events_end() {
  const auto heard = std::exchange(heard_, {});
  if (!heard) return;
  // At home events only say that something changed: they may be older than what we know already.
  if (!moved_) return refresh_link();
  if (heard->up || up_) return static_cast<void>(set_link(heard->mtu, heard->up));
  // Still down; which may be older than the packet by which the tunnel has seen that its link is up.
  mtu_ = heard->mtu;
  around_.worker.call([&] {
    base_tunnel_->set_place(index_, !moved_);
    base_tunnel_->set_mtu(mtu_);
  });
}

void Interface::check_link() {
  if (!is_live()) end(Ending::link_gone);
}

void Interface::find_link(const tun::LinkEvent& event) {
  const auto now_called = base_tunnel_->tun().current_name();
  if (!now_called || *now_called != event.link.name || event.link.kind != "tun") return;
  if (!event.from_other_namespace) {
    if (present_namespace() != own_network_namespace()) return;  // a namesake
    spdlog::info("{}: came back to the namespace of its process", name());
    moved_ = false;
    nsid_.reset();
    index_ = event.index;
    refresh_link();
  } else if (!nsid_) {
    nsid_ = event.nsid;
    index_ = event.index;
    heard_ = {.mtu = event.link.mtu, .up = (event.link.flags & IFF_UP) != 0};
  }
}

std::string Interface::accept_advertisements(bool accept) {
  if (moved_) return {};  // what has its name here is another link
  const int error = ipv6_.accept_advertisements(current_name(), accept);
  return error == 0 ? ""
                    : errno_text("whether router advertisements are taken (accept_ra) cannot be set", error);
}

bool Interface::restore_ipv6() {
  // A link that was given to us is another's business.
  return !moved_ && options_.tun_fd < 0 && ipv6_.restore(current_name(), index_);
}

ino_t Interface::present_namespace() const {
  const auto fd = base_tunnel_->tun().namespace_fd();
  if (!fd) return is_live() ? own_network_namespace() : 0;  // a kernel without TUNGETDEVNETNS
  const transport::UniqueFd owned(*fd);
  struct stat status{};
  return fstat(owned.get(), &status) == 0 ? status.st_ino : 0;
}

bool Interface::is_live() const {
  return base_tunnel_->tun().current_name().has_value();
}

Interface::Options interface_options(const InterfaceFile& file, const Settings& settings) {
  return {.name = file.name,
          .file = file.path,
          .found = file.found,
          .offload = settings.tun_offload,
          .tunnel = file.config.tunnel,
          .mtu = file.config.mtu,
          .link_local = file.config.link_local,
          .accept_route_advertisements = file.config.accept_route_advertisements};
}

}  // namespace hats::app
