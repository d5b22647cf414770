#include "tools/hatsd-user/bench/daemon_child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tools/hatsd-user/bench/clock.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"

namespace hats::app::bench {

namespace {

constexpr double kStartPatience = 10;  // seconds
constexpr double kEndPatience = 5;     // seconds between SIGTERM and SIGKILL
constexpr double kLook = 2e-3;         // seconds between two looks

std::string socket_of(const std::string& interface) {
  return "/var/run/wireguard/" + interface + ".sock";
}

[[noreturn]] void become_daemon(pid_t parent, const std::string& interface, const Variables& variables) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before
  // NOLINTBEGIN(concurrency-mt-unsafe): a child has one thread
  for (const auto& [name, value] : variables) (void)setenv(name.c_str(), value.c_str(), 1);
  (void)setenv("HATSD_LOG_LEVEL", "error", 1);
  for (const char* name : {"WG_TUN_FD", "WG_UAPI_FD", "NOTIFY_SOCKET"}) (void)unsetenv(name);
  // NOLINTEND(concurrency-mt-unsafe)
  if (const int null = ::open("/dev/null", O_RDWR); null >= 0) {
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
  }
  execl("/proc/self/exe", "hatsd-user", "-f", "--", interface.c_str(), nullptr);
  _exit(1);
}

}  // namespace

AppResult<DaemonChild> DaemonChild::start(const NetworkSpace& space, const std::string& interface,
                                          const Variables& variables) {
  const pid_t parent = getpid();
  pid_t process = -1;
  {
    const StayInSpace stay(space);
    if (!stay.entered()) return fail(errno_text("cannot enter a network namespace", errno));
    process = fork();
    if (process == 0) become_daemon(parent, interface, variables);
  }
  if (process < 0) return fail(errno_text("fork", errno));
  DaemonChild out(process);
  for (const double end = seconds_now() + kStartPatience; seconds_now() < end; sleep_seconds(kLook)) {
    if (connect_to(socket_of(interface))) return out;
    int status = 0;
    if (waitpid(process, &status, WNOHANG) == process) {
      out.process_ = 0;
      return fail("the daemon ended at its start");
    }
  }
  return fail("the daemon was not ready in time");
}

DaemonChild::~DaemonChild() {
  if (process_ == 0) return;
  (void)kill(process_, SIGTERM);
  int status = 0;
  for (const double end = seconds_now() + kEndPatience; seconds_now() < end; sleep_seconds(kLook)) {
    if (waitpid(process_, &status, WNOHANG) != 0) return;
  }
  (void)kill(process_, SIGKILL);
  (void)waitpid(process_, &status, 0);
}

double DaemonChild::cpu_seconds() const {
  std::ifstream file("/proc/" + std::to_string(process_) + "/stat");
  std::string line;
  std::getline(file, line);
  // The name, in parentheses, may hold anything; user and system time are the 12th and 13th word behind it.
  std::istringstream words(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string word;
  for (int i = 0; i < 11; ++i) words >> word;
  double user = 0, system = 0;
  words >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

AppResult<void> set_by_uapi(const std::string& interface, const std::string& lines) {
  const auto line = connect_to(socket_of(interface));
  if (!line) return fail(errno_text(socket_of(interface), line.error()));
  const std::string request = "set=1\n" + lines + "\n";
  std::array<char, 256> answer{};
  if (::send(line->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 ||
      recv(line->get(), answer.data(), answer.size() - 1, 0) < 0) {
    return fail(errno_text(socket_of(interface), errno));
  }
  if (std::string(answer.data()).starts_with("errno=0")) return {};
  return fail(interface + " refuses its configuration: " + answer.data());
}

}  // namespace hats::app::bench
