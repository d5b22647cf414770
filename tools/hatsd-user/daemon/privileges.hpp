// What the process keeps of root's power once everything is set up, and how it keeps keys to itself
// (DESIGN.md 5).
#pragma once

#include <string>

namespace hats::app {

/// No core dumps, no ptrace by others. Before any key is read.
void forbid_core_dumps() noexcept;
/// That, and memory locked where the limits allow it. For a process that stays.
void protect_secrets() noexcept;

/// Keeps CAP_NET_ADMIN and CAP_NET_BIND_SERVICE of those that the process has, and CAP_NET_RAW with
/// `raw_tunnels` (their sockets come and go); drops the rest for good, and sets no_new_privs. Before threads
/// that should have them are made, or each thread for itself. Returns a sentence on failure, "" on success.
[[nodiscard]] std::string reduce_capabilities(bool raw_tunnels);

/// Puts the calling thread, and threads that it makes from here on, under SCHED_FIFO at the lowest priority.
/// 0 or errno: it takes CAP_SYS_NICE or a limit of real-time priority. Before capabilities are reduced.
[[nodiscard]] int enter_realtime() noexcept;
/// The calling thread is an ordinary one again; it may always.
void leave_realtime() noexcept;

/// True if CAP_NET_ADMIN is effective.
[[nodiscard]] bool has_net_admin();

}  // namespace hats::app
