// What others ask of a running process over its control socket.
#include <utility>

#include "core/config/ip_tunnel.hpp"
#include "tools/hatsd-user/control/tunnel_json.hpp"
#include "tools/hatsd-user/daemon/daemon.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/quick/dsfield_file.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

json outcome(const AppResult<void>& done) {
  return done ? json::object() : json{{"error", done.error().message}, {"exit_code", done.error().exit_code}};
}

json no_such(const std::string& id) {
  return {{"error", id + ": no such interface"}};
}

}  // namespace

json Daemon::control_show(const std::string& name) {
  json out = json::array();
  for (const Entry& entry : entries_) {
    if (entry.ending || !entry.interface->is_live()) continue;
    if (!name.empty() && entry.interface->current_name() != name) continue;
    json status = entry.interface->status();
    status["accepts_tunnels"] = accepts_tunnels();
    status["found"] = entry.interface->found();
    out.push_back(std::move(status));
  }
  return out;
}

json Daemon::control_tunnel_survey(const json& tunnel) {
  json out = {{"accepts_tunnels", accepts_tunnels()}};
  const encap::TunnelConfig wanted = tunnel_from_json(tunnel);
  for (const Entry& entry : entries_) {
    const encap::TunnelConfig* other = entry.interface->tunnel_config();
    if (other == nullptr || !encap::alike_on_the_wire(*other, wanted)) continue;
    if (entry.ending || !entry.interface->is_live()) continue;
    out["alike"] = {{"name", entry.interface->current_name()},
                    {"network_namespace", entry.interface->present_namespace()}};
  }
  return out;
}

void Daemon::control_down(const std::string& id, const Descriptors& output, ControlReply reply) {
  Interface* interface = find(id);
  if (interface == nullptr) return reply(no_such(id));
  end(*interface, Ending::asked, [reply] { reply(json::object()); }, output);
}

void Daemon::control_reload(const std::string& id, const json& sources, ControlReply reply) {
  Interface* interface = find(id);
  if (interface == nullptr || host_ == nullptr) return reply(no_such(id));
  host_->reload(*interface, sources_from_json(sources),
                [reply](const AppResult<void>& done) { reply(outcome(done)); });
}

void Daemon::control_tunnel_add(const std::string& name, const std::vector<std::string>& words,
                                ControlReply reply) {
  if (!accepts_tunnels()) return reply({{"error", "this process takes no further tunnels"}});
  auto file = parse_interface_file(name, "tunnel", {}, words_as_sources(words));
  if (!file) return reply(outcome(std::unexpected(file.error())));
  file->path.clear();  // words of a command are no file
  const auto made = add(interface_options(*file, settings_));
  reply(made ? json::object() : outcome(std::unexpected(made.error())));
}

void Daemon::control_tunnel_change(const std::string& id, const std::vector<std::string>& words,
                                   ControlReply reply) {
  Interface* interface = find(id);
  if (interface == nullptr) return reply(no_such(id));
  const auto command = config::parse_ip_tunnel(words, dsfield_names());
  if (!command) return reply(outcome(fail("tunnel: " + command.error(), kExitUsage)));
  reply(outcome(interface->change_tunnel(*command)));
}

}  // namespace hats::app
