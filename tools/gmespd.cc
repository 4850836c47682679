// SPDX-License-Identifier: BSD-3-Clause
// gmespd: reads the configuration, opens everything that takes rights, gives the rights up, and is
// the control thread from then on. stdout has one line, when the engine is ready; the log is on
// stderr.
#include <pthread.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/file_descriptor.h"
#include "tools/bench.h"
#include "tools/early_stop.h"
#include "tools/engine.h"
#include "tools/privileges.h"
#include "tools/stale_sockets.h"
#include "tools/system_calls.h"

namespace gmesp {
namespace {

enum ExitStatus { kDone = 0, kFailed = 1, kUsage = 2 };

struct Options {
  std::string file;
  bool check = false;
  bool bench = false;
  unsigned bench_seconds = 50;
  bool json = false;
  bool verbose = false;
};

// Signals as a descriptor: blocked before any thread exists, so that none takes them.
FileDescriptor descriptor_of(std::initializer_list<int> numbers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : numbers) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  FileDescriptor descriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor) throw std::runtime_error("no descriptor for signals: ulimit -n 256");
  return descriptor;
}

void start_log(bool verbose) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("gmespd"));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e gmespd %^%l%$: %v");
  spdlog::set_level(verbose ? spdlog::level::debug : spdlog::level::info);
}

void say_ready(const Config& config) {
  const size_t workers = config.cpus.size();
  std::printf("gmespd: ready, role %s, %zu worker%s, socket %s\n",
              std::string(name(config.policy.role)).c_str(), workers, workers == 1 ? "" : "s",
              config.socket.c_str());
  std::fflush(stdout);
}

// What stays when the process does not end by itself: our socket, and those of devices.
std::vector<std::string> files_left_behind(const Config& config) {
  std::vector<std::string> files = device_sockets(config);
  for (const std::string& file : files) remove_stale_socket(file);
  files.push_back(config.socket);
  return files;
}

constexpr Ending kNotReady{kDone, "ended by", " before it was ready"};
constexpr Ending kNoResult{kFailed, "the bench was ended by", ": no result"};

void serve(const Config& config, bool verbose) {
  const FileDescriptor stop = descriptor_of({SIGINT, SIGTERM});
  const FileDescriptor reload = descriptor_of({SIGHUP});  // one that comes early waits in it
  std::optional<EarlyStop> early_stop(std::in_place, stop.get(), kNotReady,
                                      files_left_behind(config));
  start_log(verbose);
  raise_descriptor_limit();
  const std::string not_locked = lock_memory();
  Engine engine(config, verbose);
  EngineInfo& info = engine.info();
  info.memory_locked = not_locked.empty();
  if (!info.memory_locked) info.notices.push_back(not_locked);
  drop_privileges(config.user);
  info.user = current_user();
  if (const std::string notice = served_as_root(); !notice.empty()) info.notices.push_back(notice);
  for (const std::string& notice : info.notices) spdlog::warn("{}", notice);
  for (const std::string& warning : config.notes.warnings) spdlog::warn("{}", warning);
  engine.start_workers();
  early_stop.reset();  // from here on the control thread reads `stop`
  if (config.seccomp) {
    // Last: no thread is made from here on.
    restrict_system_calls(has_device_that_connects(config) ? UnixSockets::allowed
                                                           : UnixSockets::refused);
  }
  info.seccomp = config.seccomp;
  say_ready(config);
  const AssumeRole role(control_thread);
  engine.run(stop.get(), reload.get());
  spdlog::info("stopping");
}

// A bench that was cut short is no result: unlike serve(), it then fails.
void bench(const Config& config, BenchOptions options) {
  const FileDescriptor stop = descriptor_of({SIGINT, SIGTERM, SIGHUP});
  const EarlyStop early_stop(stop.get(), kNoResult, {});
  run_bench(config, options);
}

int run(const Options& options) {
  signal(SIGPIPE, SIG_IGN);  // a client or a log reader that goes away is no reason to end
  try {
    const Config config = options.file.empty() ? bench_defaults() : read_config(options.file);
    if (options.check) {
      for (const std::string& warning : config.notes.warnings) {
        std::fprintf(stderr, "%s\n", warning.c_str());
      }
      std::printf("%s: ok\n", options.file.c_str());
      return kDone;
    }
    if (options.bench) {
      bench(config, {options.bench_seconds, options.json, options.verbose});
    } else {
      serve(config, options.verbose);
    }
    return kDone;
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "%s\n", error.what());  // FILE:LINE:COLUMN comes first, as editors read it
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gmespd: %s\n", error.what());
  }
  return kFailed;
}

void declare(CLI::App& app, Options& options) {
  app.add_option("-c", options.file, "configuration file (TOML)")->type_name("FILE");
  CLI::Option* check = app.add_flag("--check", options.check, "validate the file and exit");
  CLI::Option* bench = app.add_flag(
      "--bench", options.bench,
      "measure the packet paths on the configured CPUs, with up to [sa] capacity SAs, and exit; no "
      "port is opened. Without -c: one CPU, a million SAs");
  bench->excludes(check);
  app.add_option("--bench-seconds", options.bench_seconds, "how long, about")
      ->check(CLI::Range(1u, 3600u))
      ->capture_default_str()
      ->needs(bench);
  app.add_flag("--json", options.json, "the bench's figures as JSON")->needs(bench);
  app.add_flag("-v", options.verbose, "log more, and what DPDK says");
  app.set_version_flag("--version", std::string("gmespd ") + GMESP_VERSION);
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  gmesp::Options options;
  CLI::App app(
      "gmespd: IPsec ESP for the Gm reference point, between the access network and a SIP "
      "server");
  gmesp::declare(app, options);
  try {
    app.parse(argc, argv);
    if (options.file.empty() && !options.bench) throw CLI::RequiredError("-c");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? gmesp::kDone : gmesp::kUsage;
  }
  return gmesp::run(options);
}
