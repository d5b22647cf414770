#include "tools/hatsd-user/control/control_client.hpp"

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "crypto/secret.hpp"
#include "tools/hatsd-user/control/descriptors.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

AppResult<std::vector<std::string>> control_sockets() {
  std::vector<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(kRunDirectory), closedir);
  if (!directory && errno == EACCES) return fail(std::string(kRunDirectory) + ": not permitted; run as root");
  if (!directory) return out;
  while (const dirent* entry = readdir(directory.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string name = entry->d_name;
    if (name.ends_with(".sock")) out.push_back(std::string(kRunDirectory) + "/" + name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// 0 or errno.
int send_all(int fd, std::string_view text, std::span<const int> descriptors) {
  while (!text.empty()) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    const ssize_t count = send_with(fd, {bytes, text.size()}, descriptors);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    descriptors = {};
    text.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

/// One request and its reply over a connected socket.
AppResult<json> exchange(int fd, const std::string& socket, const json& request,
                         std::span<const int> descriptors = {}) {
  std::string line = request.dump(-1, ' ', false, json::error_handler_t::replace);
  line += '\n';
  const int error = send_all(fd, line, descriptors);
  crypto::wipe({reinterpret_cast<uint8_t*>(line.data()), line.size()});  // `reload` sends files with keys
  if (error != 0) return fail(errno_text(socket, error));
  std::string reply;
  std::array<char, 65'536> buffer;
  while (!reply.ends_with('\n')) {
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(socket + ": the process ended before it answered");
    reply.append(buffer.data(), static_cast<size_t>(count));
  }
  json answer = json::parse(reply, nullptr, false);
  if (!answer.is_object()) return fail(socket + ": the answer is not understood");
  if (answer.contains("error")) {
    return fail(answer["error"].get<std::string>(), answer.value("exit_code", kExitFailure));
  }
  return answer;
}

}  // namespace

AppResult<json> control_request(const std::string& socket, const json& request,
                                std::span<const int> descriptors) {
  const auto fd = connect_to(socket);
  if (!fd) return fail(errno_text(socket, fd.error()));
  return exchange(fd->get(), socket, request, descriptors);
}

AppResult<std::vector<LiveProcess>> ask_all(const json& request) {
  std::vector<LiveProcess> out;
  const ino_t here = own_network_namespace();
  const auto sockets = control_sockets();
  if (!sockets) return std::unexpected(sockets.error());
  for (const std::string& socket : *sockets) {
    const auto fd = connect_to(socket);
    if (!fd && fd.error() == ECONNREFUSED) {
      (void)unlink(socket.c_str());  // its process died without a word
      continue;
    }
    if (!fd && (fd.error() == EACCES || fd.error() == EPERM))
      return fail(socket + ": not permitted; run as root");
    if (!fd) continue;
    const pid_t process = peer_process(fd->get());
    auto answer = exchange(fd->get(), socket, request);
    if (!answer) continue;  // it ended meanwhile
    out.push_back({.socket = socket,
                   .process = process,
                   .born_here = network_namespace_of(process) == here,
                   .answer = std::move(*answer)});
  }
  return out;
}

namespace {

AppResult<std::vector<LiveInterface>> ask_for_interfaces(const json& request) {
  const ino_t here = own_network_namespace();
  auto processes = ask_all(request);
  if (!processes) return std::unexpected(processes.error());
  std::vector<LiveInterface> out;
  for (LiveProcess& process : *processes) {
    for (json& status : process.answer["interfaces"]) {
      LiveInterface live;
      live.name = status.value("name", "");
      live.socket = process.socket;
      live.process = process.process;
      live.here = status.value("network_namespace", ino_t{0}) == here;
      live.born_here = process.born_here;
      live.status = std::move(status);
      out.push_back(std::move(live));
    }
  }
  return out;
}

}  // namespace

AppResult<std::vector<LiveInterface>> all_live_interfaces() {
  return ask_for_interfaces({{"op", "show"}});
}

AppResult<std::vector<LiveInterface>> live_interfaces(const std::string& name) {
  auto out = ask_for_interfaces({{"op", "show"}, {"name", name}});
  // A process of an older version tells of all.
  if (out) std::erase_if(*out, [&](const LiveInterface& live) { return live.name != name; });
  return out;
}

const LiveInterface* find_here(const std::vector<LiveInterface>& all, const std::string& name) {
  const auto found =
      std::ranges::find_if(all, [&](const LiveInterface& live) { return live.here && live.name == name; });
  return found == all.end() ? nullptr : &*found;
}

const LiveInterface* find_interface(const std::vector<LiveInterface>& all, const std::string& name) {
  if (const LiveInterface* here = find_here(all, name)) return here;
  const auto moved = std::ranges::find_if(
      all, [&](const LiveInterface& live) { return live.born_here && live.name == name; });
  return moved == all.end() ? nullptr : &*moved;
}

std::string name_and_place(const std::string& name, bool here) {
  return here ? name : name + " (moved to another network namespace)";
}

}  // namespace hats::app
