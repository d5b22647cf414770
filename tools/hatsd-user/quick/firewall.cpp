#include "tools/hatsd-user/quick/firewall.hpp"

#include <cstring>
#include <sstream>

#include "tools/hatsd-user/quick/command.hpp"

namespace hats::app {
namespace {

std::string comment(const std::string& interface) {
  return "hatsd-user rule for " + interface;
}

const char* nft_family(Family family) {
  return family == Family::v4 ? "ip" : "ip6";
}

std::string iptables_program(Family family, const char* suffix) {
  return std::string(family == Family::v4 ? "iptables" : "ip6tables") + suffix;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

/// Runs a tool with `input`; the error names the tool and what it said first.
std::expected<std::string, std::string> run_tool(std::vector<std::string> words, std::string input) {
  const std::string name = words[0];
  const auto outcome = run_command(
      {.words = std::move(words), .input = std::move(input), .capture = true, .interrupt_fd = -1});
  if (!outcome) return std::unexpected(name + ": " + std::strerror(outcome.error()));
  if (!outcome->succeeded()) {
    const std::string said = first_line(outcome->output);
    return std::unexpected(name + ": " + outcome->how() + (said.empty() ? "" : ": " + said));
  }
  return outcome->output;
}

}  // namespace

const char* firewall_tool_name(FirewallTool tool) {
  return tool == FirewallTool::nft ? "nft" : "iptables";
}

std::string nft_table_name(const std::string& interface) {
  std::string out = "hatsd-user-";
  for (const char c : interface) {
    if (c == '=') {
      out += "/3d";
    } else if (c == '+') {
      out += "/2b";
    } else {
      out += c;
    }
  }
  return out;
}

std::string nft_script(const FirewallRules& rules) {
  const std::string family = nft_family(rules.family);
  const std::string table = family + " " + nft_table_name(rules.interface);
  const std::string mark = std::to_string(rules.mark);
  std::ostringstream out;
  // Added, deleted, added: a table that a dead process left does not double the rules.
  out << "add table " << table << "\ndelete table " << table << "\nadd table " << table << '\n'
      << "add chain " << table << " preraw { type filter hook prerouting priority -300; }\n"
      << "add chain " << table << " premangle { type filter hook prerouting priority -150; }\n"
      << "add chain " << table << " postmangle { type filter hook postrouting priority -150; }\n";
  for (const auto& address : rules.addresses) {
    out << "add rule " << table << " preraw iifname != \"" << rules.interface << "\" " << family << " daddr "
        << address.text() << " fib saddr type != local drop\n";
  }
  out << "add rule " << table << " postmangle meta l4proto udp meta mark " << mark
      << " ct mark set meta mark\n"
      << "add rule " << table << " premangle meta l4proto udp meta mark set ct mark\n";
  return out.str();
}

std::string iptables_script(const FirewallRules& rules) {
  const std::string note = " -m comment --comment \"" + comment(rules.interface) + "\"\n";
  std::ostringstream out;
  out << "*raw\n";
  for (const auto& address : rules.addresses) {
    out << "-I PREROUTING ! -i " << rules.interface << " -d " << address.text()
        << " -m addrtype ! --src-type LOCAL -j DROP" << note;
  }
  out << "COMMIT\n*mangle\n"
      << "-I POSTROUTING -m mark --mark " << rules.mark << " -p udp -j CONNMARK --save-mark" << note
      << "-I PREROUTING -p udp -j CONNMARK --restore-mark" << note << "COMMIT\n";
  return out.str();
}

std::string iptables_removal(const std::string& saved, const std::string& interface) {
  const std::string mine = "--comment \"" + comment(interface) + "\"";
  std::istringstream lines(saved);
  std::string out;
  bool found = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("-A ") && line.find(mine) != std::string::npos) {
      out += "-D " + line.substr(3) + "\n";
      found = true;
    } else if (line.starts_with("*") || line == "COMMIT") {
      out += line + "\n";
    }
  }
  return found ? out : std::string();
}

std::vector<FirewallTool> firewall_tools(Family family) {
  std::vector<FirewallTool> out;
  if (find_program("nft")) out.push_back(FirewallTool::nft);
  if (find_program(iptables_program(family, "-restore")) && find_program(iptables_program(family, "-save"))) {
    out.push_back(FirewallTool::iptables);
  }
  return out;
}

std::expected<void, std::string> install_firewall(FirewallTool tool, const FirewallRules& rules) {
  const auto done = tool == FirewallTool::nft ? run_tool({"nft", "-f", "-"}, nft_script(rules))
                                              : run_tool({iptables_program(rules.family, "-restore"), "-n"},
                                                         iptables_script(rules));
  if (!done) return std::unexpected(done.error());
  return {};
}

std::expected<void, std::string> remove_firewall(FirewallTool tool, Family family,
                                                 const std::string& interface) {
  std::expected<std::string, std::string> done;
  if (tool == FirewallTool::nft) {
    const std::string table = std::string(nft_family(family)) + " " + nft_table_name(interface) + "\n";
    done = run_tool({"nft", "-f", "-"}, "add table " + table + "delete table " + table);
  } else {
    done = run_tool({iptables_program(family, "-save")}, "");
    if (!done) return std::unexpected(done.error());
    const std::string script = iptables_removal(*done, interface);
    if (!script.empty()) done = run_tool({iptables_program(family, "-restore"), "-n"}, script);
  }
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace hats::app
