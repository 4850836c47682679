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
#include <stdexcept>
#include <string>

#include "control/config.h"
#include "control/file_descriptor.h"
#include "tools/engine.h"
#include "tools/privileges.h"

namespace gmesp {
namespace {

enum ExitStatus { kDone = 0, kFailed = 1, kUsage = 2 };

struct Options {
  std::string file;
  bool check = false;
  bool verbose = false;
};

// The signals that end us, as a descriptor: blocked before any thread exists, so that none takes
// them.
FileDescriptor stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a client or a log reader that goes away is no reason to end
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
              config.policy.role == Role::pcscf ? "pcscf" : "ue", workers, workers == 1 ? "" : "s",
              config.socket.c_str());
  std::fflush(stdout);
}

void serve(const Config& config, bool verbose) {
  const FileDescriptor stop = stop_signals();
  start_log(verbose);
  Engine engine(config, verbose);
  drop_privileges();
  for (const std::string& notice : engine.notices()) spdlog::warn("{}", notice);
  engine.start_workers();
  say_ready(config);
  const AssumeRole role(control_thread);
  engine.run(stop.get());
  spdlog::info("stopping");
}

int run(const Options& options) {
  try {
    const Config config = read_config(options.file);
    if (options.check) {
      std::printf("%s: ok\n", options.file.c_str());
      return kDone;
    }
    serve(config, options.verbose);
    return kDone;
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "%s\n", error.what());  // FILE:LINE:COLUMN comes first, as editors read it
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gmespd: %s\n", error.what());
  }
  return kFailed;
}

}  // namespace
}  // namespace gmesp

int main(int argc, char** argv) {
  gmesp::Options options;
  CLI::App app(
      "gmespd: IPsec ESP for the Gm reference point, between the access network and a SIP "
      "server");
  app.add_option("-c", options.file, "configuration file (TOML)")->required()->type_name("FILE");
  app.add_flag("--check", options.check, "validate the file and exit");
  app.add_flag("-v", options.verbose, "log more, and what DPDK says");
  app.set_version_flag("--version", std::string("gmespd ") + GMESP_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? gmesp::kDone : gmesp::kUsage;
  }
  return gmesp::run(options);
}
