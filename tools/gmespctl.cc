// SPDX-License-Identifier: BSD-3-Clause
// gmespctl: the command line of a running gmespd. A thin client: it turns words into records
// (tools/gmespctl_request.h), keeps the socket busy (gmespctl_session.h) and makes answers readable
// (gmespctl_print.h); what a command means is decided by gmespd (control/README.md). Only mkpcap is
// done here (gmespctl_mkpcap.h).
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "control/file_descriptor.h"
#include "control/json_writer.h"
#include "tools/core_dumps.h"
#include "tools/gmespctl_mkpcap.h"
#include "tools/gmespctl_print.h"
#include "tools/gmespctl_print_ue.h"
#include "tools/gmespctl_reconcile.h"
#include "tools/gmespctl_request.h"
#include "tools/gmespctl_session.h"
#include "tools/output_file.h"

namespace gmesp {
namespace {

constexpr const char* kManual = R"(
Commands (N is decimal or 0x...; [ ] may be left out):
  status
  sa add    dir in|out spi N src ADDR dst ADDR proto udp|tcp|any [sport N] [dport N]
            alg A [auth-key K] ealg E [enc-key K] [salt K] [window N] [seq N]
  sa delete dir in|out spi N [dst ADDR]
  sa list   [dir D] [ue ADDR] [spi N] [limit N] [after TOKEN]
  sa show   dir D spi N [dst ADDR]
  sa flush  [all]
  sa count
  stats     [core N]       packets and IP bytes, per port, worker and total
  drops     [--explain]    every drop reason with its count
  policy list              what is asked of cleartext, in order, with hits
  config reload            [policy] of the file again: rules, own_prefixes, reachable
  ue register  ue ADDR pcscf ADDR impi I [impu U]... [security-client 'HEADER']
               [contact ADDR] [over H] [security-verify 'HEADER']
               [selector strict|ports-of-set]
  ue challenge handle H ck K ik K [security-server 'HEADER']
  ue response  handle H security-verify 'HEADER' security-client 'HEADER'
  ue ok        handle H expires S [impu U]...   before the 200 OK leaves; 0: it ends
  ue fail      handle H reason user_authentication|network_authentication|
               synchronisation|unacceptable|timeout|other
  ue refresh   handle H expires S      200 OK without a challenge
  ue delete    handle H [only] [now]
  ue check     ue ADDR ue-port N [pcscf-port N] [impi I] [impu U] [contact ADDR]
  ue list      [ue ADDR] [impi I] [state STATE] [limit N] [after TOKEN]
  ue show      handle H
  ue count
  ue reconcile - [grace S]             handles on standard input
  ue reconcile [session N] [handles H]... [finish] [grace S]
  audit on|off             record packets dropped for reasons of RFC 4303 4, or not
  audit status             what is audited, and how many records there were
  monitor      [sa] [ue] [drop] [audit]    events as they happen; none named: all

in: ESP that arrives on the access port; out: ESP that leaves there. src, dst and
ports are those of the protected packets; a port left out matches any.
  alg    hmac-md5-96 (auth-key 16 bytes), hmac-sha-1-96 (20), null,
         aes-gmac (auth-key 16, salt 4; with ealg null)
  ealg   null, des-ede3-cbc (enc-key 24), aes-cbc (16),
         aes-gcm (enc-key 16, salt 4; with alg null)
Not permitted: null with null. spi: in at least 256, out not 0.
K: hexadecimal digits, already expanded, or @FILE. Others can see the argument
list: give keys there in tests only, elsewhere in a script through -f -.
window: 0 (no replay protection, for benchmarks) or 32..1024. seq, for tests: out,
the last number used; in, it and everything below count as seen.

H: 0x..., from ue register. security-client: of the UE's REGISTER, role pcscf;
security-server: of the 401, role ue. over: the set that the REGISTER came through;
left out: it came in clear. ue delete: all that the IMPI has, or that set only; it
goes in 64*T1, or now. Times are seconds.
ue reconcile -: a handle a line, or JSON lines with a "handle" or a page of "sets"
(gmespctl -j ue list). Prints those that gmespd does not have; what gmespd has and
nobody names is deleted after the grace.

A GCM or GMAC key used twice reveals plaintext and allows forgery: the engine never
repeats an IV within an SA, but that no two SAs, now or after a restart, share such
a key, salt and SPI is the responsibility of whoever calls sa add.

-f: one command a line, "..." and '...' hold words together, # begins a comment.
A refusal is reported and the next line goes on; then the exit status is 1.

Exit status: 0 done, 1 refused, not found or not written, 2 usage, 3 no daemon,
4 timed out (outcome unknown), 5 not permitted.)";

struct Options {
  std::string socket{kDefaultSocket};
  bool json = false;
  double timeout_s = 10;
  std::string file;
  bool explain = false;
  std::vector<std::string> words;
};

void error_line(const Options& options, size_t line, const std::string& sentence,
                const char* code) {
  if (!options.json) {
    const std::string place = line == 0 ? "" : "line " + std::to_string(line) + ": ";
    std::fprintf(stderr, "gmespctl: %s%s\n", place.c_str(), sentence.c_str());
    return;
  }
  std::printf("%s\n", error_answer(sentence, code).c_str());
}

// Prints one answer; true when it was a refusal.
bool print(const Options& options, const Session::Result& result) {
  if (result.usage_error) {
    error_line(options, result.line, result.text, "usage");
    return true;
  }
  if (result.event) {
    std::printf("%s",
                options.json ? (result.text + "\n").c_str() : readable_event(result.text).c_str());
    return false;
  }
  const std::string refusal = refusal_of(result.text);
  if (options.json) {
    std::printf("%s\n", result.text.c_str());
  } else if (!refusal.empty()) {
    error_line(options, result.line, refusal, "");
  } else {
    std::fputs(readable(result.rule->command, result.text, result.page).c_str(), stdout);
  }
  return !refusal.empty();
}

const char* code_of(ExitStatus status) {
  switch (status) {
    case ExitStatus::no_daemon:
      return "no_daemon";
    case ExitStatus::timed_out:
      return "timed_out";
    case ExitStatus::not_permitted:
      return "not_permitted";
    default:
      return "usage";
  }
}

// Earlier flushes may have failed: the stream remembers.
ExitStatus all_written(ExitStatus status, const char* what) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  std::fprintf(stderr, "gmespctl: %s could not be written to standard output\n", what);
  return ExitStatus::refused;
}

ExitStatus run_mkpcap(const Options& options) {
  const std::vector<std::string> words(options.words.begin() + 1, options.words.end());
  std::fputs(mkpcap(mkpcap_request(words), options.json).c_str(), stdout);
  return all_written(ExitStatus::done, "the files are there, but what they are");
}

bool is_reconcile_from_input(const std::vector<std::string>& words) {
  return words.size() >= 3 && words[0] == "ue" && words[1] == "reconcile" && words[2] == "-";
}

ExitStatus run_reconcile(const Options& options, std::chrono::milliseconds timeout) {
  const std::vector<std::string> words(options.words.begin() + 3, options.words.end());
  bool refused = false;
  std::string answer;
  Session session(options.socket, timeout, false, [&](const Session::Result& result) {
    answer = result.text;
    refused |= print(options, result);
  });
  reconcile(words, read_handles(std::cin), session, answer);
  return all_written(refused ? ExitStatus::refused : ExitStatus::done, "the answers");
}

ExitStatus run(Options& options) {
  if (!options.words.empty() && options.words[0] == "mkpcap") return run_mkpcap(options);
  bool refused = false;
  const auto printer = [&](const Session::Result& result) { refused |= print(options, result); };
  const std::chrono::milliseconds timeout(std::llround(options.timeout_s * 1000));
  if (is_reconcile_from_input(options.words)) return run_reconcile(options, timeout);
  if (options.file.empty()) {
    Words words = make_request(options.words);
    wipe_words(options.words);
    Session(options.socket, timeout, !options.json, printer).run_one(std::move(words));
  } else {
    const FileDescriptor file(
        options.file == "-" ? dup(STDIN_FILENO) : open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
      throw UsageError(std::string("the file of -f cannot be read: ") + std::strerror(errno));
    }
    Session(options.socket, timeout, !options.json, printer).run_file(file.get());
  }
  return all_written(refused ? ExitStatus::refused : ExitStatus::done, "the answers");
}

// CLI::Range lets "nan" through: no comparison with it is true.
std::string judge_timeout(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  return *end == '\0' && seconds >= 0.001 && seconds <= 86400 ? ""
                                                              : "expected seconds, 0.001 to 86400";
}

void declare(CLI::App& app, Options& options) {
  app.add_option("-s", options.socket, "control socket of gmespd")
      ->envname("GMESP_SOCKET")
      ->capture_default_str();
  app.add_flag("-j", options.json, "answers as JSON, one object per line");
  app.add_option("--timeout", options.timeout_s, "seconds to wait for an answer")
      ->check(CLI::Validator(judge_timeout, "in [0.001 - 86400]"))
      ->capture_default_str();
  app.add_option("-f", options.file, "commands from FILE, one a line; -: standard input");
  app.add_flag("--explain", options.explain, "drops: what each reason means and where it is from");
  app.add_option("command", options.words, "NOUN [VERB] [key value]...");
  app.footer(std::string(kManual) + "\n" + kMkpcapManual);
}

// Keys are taken out of argv, where everybody on the machine sees them, and out of what CLI11
// keeps.
void parse(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> backwards;  // as CLI11 takes them
  for (int i = argc - 1; i > 0; --i) backwards.emplace_back(argv[i]);
  for (int i = 2; i < argc; ++i) {
    if (holds_key(argv[i - 1])) explicit_bzero(argv[i], std::strlen(argv[i]));
  }
  app.parse(std::move(backwards));
  app.clear();
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  using gmesp::ExitStatus;
  gmesp::refuse_core_dumps();  // before any key is here
  gmesp::Options options;
  CLI::App app{"Talks to a running gmespd.", "gmespctl"};
  gmesp::declare(app, options);
  try {
    gmesp::parse(app, argc, argv);
    if (options.words.empty() == options.file.empty()) {
      throw gmesp::UsageError("give a command, or commands with -f (gmespctl --help)");
    }
    if (options.explain) options.words.emplace_back("explain");
    return static_cast<int>(gmesp::run(options));
  } catch (const CLI::ExtrasError&) {  // it repeats the word, which may be a key
    gmesp::error_line(options, 0, "there is no such option (gmespctl --help)", "usage");
    return static_cast<int>(ExitStatus::usage);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::usage);
  } catch (const gmesp::UsageError& error) {
    gmesp::error_line(options, 0, error.what(), "usage");
    return static_cast<int>(ExitStatus::usage);
  } catch (const gmesp::OutputError& error) {
    gmesp::error_line(options, 0, error.what(), "not_written");
    return static_cast<int>(ExitStatus::refused);
  } catch (const gmesp::SessionError& error) {
    gmesp::error_line(options, 0, error.what(), gmesp::code_of(error.status));
    return static_cast<int>(error.status);
  } catch (const gmesp::BadAnswer& error) {
    gmesp::error_line(options, 0, error.what(), "bad_answer");
    return static_cast<int>(ExitStatus::no_daemon);
  } catch (const std::exception& error) {  // out of memory, say: what was sent may have been done
    gmesp::error_line(options, 0, error.what(), gmesp::code_of(ExitStatus::timed_out));
    return static_cast<int>(ExitStatus::timed_out);
  }
}
