// SPDX-License-Identifier: BSD-3-Clause
// What libgmesp is to other programs: the examples of its README, gmesp.hpp, gmesp.py, its symbols.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "tests/client_lab.h"
#include "tests/sanitizers.h"
#include "tests/shell.h"

namespace gmesp {
namespace {

class GmespFacesTest : public GmespClientTest {};

// A program without the sanitizer's own start cannot load a library that was built with one.
#define SKIP_IF_BUILT_WITH_A_SANITIZER() \
  if (kSanitizer) GTEST_SKIP() << "built with a sanitizer"

std::string block_of_readme(const std::string& language) {
  std::ifstream readme(GMESP_CLIENT_FOLDER "/README.md");
  std::string line, text;
  while (std::getline(readme, line) && line != "```" + language) {
  }
  while (std::getline(readme, line) && line != "```") text += line + "\n";
  return text;
}

TEST_F(GmespFacesTest, RunsTheExampleInC) {
  SKIP_IF_BUILT_WITH_A_SANITIZER();
  const std::string source = socket_path("example.c"), program = socket_path("example");
  std::ofstream(source) << block_of_readme("c");
  const Outcome built =
      shell("cc -std=c11 -Wall -Wextra -Werror -pedantic -I" GMESP_CLIENT_FOLDER " " + source +
            " " GMESP_CLIENT_LIBRARY " -o " + program);
  EXPECT_EQ(built.status, 0) << built.output;
  const Outcome ran =
      shell("LD_LIBRARY_PATH=$(dirname " GMESP_CLIENT_LIBRARY ") " + program + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("401 may leave\nok\n"), std::string::npos) << ran.output;
  unlink(source.c_str());
  unlink(program.c_str());
}

// Nothing of ours but the installed headers, and an older standard.
TEST_F(GmespFacesTest, HasACppFaceThatFits) {
  SKIP_IF_BUILT_WITH_A_SANITIZER();
  const std::string source = socket_path("face.cc"), program = socket_path("face");
  std::ofstream(source) << R"(
#include <gmesp.hpp>
#include <iostream>
int main(int, char** argv) {
  gmesp::Client client(argv[1], GMESP_ALL_EVENTS);
  const char* impus[] = {"sip:cpp@ims"};
  gmesp_register_call call{};
  call.ue = "10.8.0.1", call.pcscf = "192.0.2.1", call.impi = "cpp@ims", call.impus = impus, call.impu_count = 1;
  call.security_client = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;spi-c=11;spi-s=12;port-c=40001;port-s=40002";
  const gmesp::Report offer = client.registered(call);
  const std::string server = offer.security;
  const uint8_t ck[16] = {7}, ik[16] = {8};
  client.challenge(offer.handle, ck, ik);
  client.response(offer.handle, server.c_str(), call.security_client);
  client.ok(offer.handle, 3600, {"sip:cpp@ims", "tel:2"});
  client.refresh(offer.handle, 3600);
  gmesp_check_call check{};
  check.ue = call.ue, check.ue_port = 40001, check.impi = call.impi, check.impu = "tel:2";
  const gmesp::Report checked = client.check_flow(check);
  std::cout << (checked.handle == offer.handle) << (checked.state == GMESP_ESTABLISHED) << "\n";
  try {
    client.fail(offer.handle, GMESP_FAIL_OTHER);
  } catch (const gmesp::Error& error) {
    std::cout << error.code() << "\n";
  }
  gmesp::Client other = std::move(client);
  other.remove(offer.handle, GMESP_AT_ONCE);
  while (const auto report = other.wait(gmesp::Client::Milliseconds(1000))) {
    if (report->kind == GMESP_EVENT_DELETED) break;
  }
  other.subscribe(0);
  other.reconnect();
  std::cout << (other.fd() > 0) << (other.poll()->kind == GMESP_EVENT_OVERFLOW) << !other.poll() << "\n";
}
)";
  const Outcome built = shell("c++ -std=c++17 -Wall -Wextra -Werror -I" GMESP_CLIENT_FOLDER " " +
                              source + " " GMESP_CLIENT_LIBRARY " -o " + program);
  EXPECT_EQ(built.status, 0) << built.output;
  const Outcome ran =
      shell("LD_LIBRARY_PATH=$(dirname " GMESP_CLIENT_LIBRARY ") " + program + " " + path_);
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.output, "11\nwrong_state\n111\n");
  unlink(source.c_str());
  unlink(program.c_str());
}

TEST_F(GmespFacesTest, RunsTheExampleInPython) {
  SKIP_IF_BUILT_WITH_A_SANITIZER();
  const std::string source = socket_path("example.py");
  std::ofstream(source) << block_of_readme("python");
  const Outcome ran = shell("GMESP_LIBRARY=" GMESP_CLIENT_LIBRARY
                            " PYTHONDONTWRITEBYTECODE=1 "
                            "PYTHONPATH=" GMESP_CLIENT_FOLDER " python3 " +
                            source + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_NE(ran.output.find("401 may leave\nunknown_handle\ndeleted\n"), std::string::npos)
      << ran.output;
  unlink(source.c_str());
}

// The structs of gmesp.py are those of gmesp.h, and every function that it calls is there.
TEST_F(GmespFacesTest, HasAPythonFaceThatFits) {
  SKIP_IF_BUILT_WITH_A_SANITIZER();
  const std::string source = socket_path("face.py");
  std::ofstream(source) << R"(
import ctypes, sys, gmesp
header = "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;spi-c=11;spi-s=12;port-c=40001;port-s=40002"
print([ctypes.sizeof(s) for s in (gmesp._Options, gmesp._Report, gmesp._RegisterCall, gmesp._CheckCall)])
with gmesp.Client(sys.argv[1], events=gmesp.ALL_EVENTS) as engine:
    def register(n):
        offer = engine.register(ue=f"10.9.0.{n}", pcscf="192.0.2.1", impi=f"p{n}@ims", impus=[f"sip:p{n}@ims"],
                                security_client=header, selector="ports-of-set", contact=f"10.9.0.{n}")
        engine.challenge(offer.handle, bytes([n] * 16), bytes([n + 100] * 16))
        return offer
    offer = register(1)
    print(offer.alg, offer.ealg, engine.response(offer.handle, offer.security, header).encrypted)
    engine.ok(offer.handle, 3600, ["sip:p1@ims", "tel:1"])
    checked = engine.check("10.9.0.1", 40001, "p1@ims", "tel:1")
    print(checked.handle == offer.handle, checked.state, checked.alg, checked.encrypted)
    engine.refresh(offer.handle, 3600)
    other = register(2)
    print(other.state, engine.check("10.9.0.2", 40001).state)
    engine.response(other.handle, other.security, header)
    engine.fail(other.handle, "user_authentication")
    print(engine.reconcile([offer.handle, 12345], grace=100))
    engine.subscribe(0)
    engine.delete(offer.handle)
    while engine.poll():
        pass
    print(engine.fileno() > 0, engine.wait(0.01))
    engine.reconnect()
    print(engine.poll().kind)
)";
  const Outcome ran = shell("GMESP_LIBRARY=" GMESP_CLIENT_LIBRARY
                            " PYTHONDONTWRITEBYTECODE=1 "
                            "PYTHONPATH=" GMESP_CLIENT_FOLDER " python3 " +
                            source + " " + path_);
  EXPECT_EQ(ran.status, 0) << ran.output;
  std::ostringstream expected;
  expected << "[" << sizeof(gmesp_options) << ", " << sizeof(gmesp_report) << ", "
           << sizeof(gmesp_register_call) << ", " << sizeof(gmesp_check_call) << "]\n"
           << "hmac-sha-1-96 null False\nTrue established hmac-sha-1-96 False\nNone temporary\n"
           << "([12345], 1)\nTrue None\noverflow\n";
  EXPECT_EQ(ran.output, expected.str());
  unlink(source.c_str());
}

TEST_F(GmespFacesTest, ExportsItsInterfaceAndNothingElse) {
  const Outcome symbols = shell("nm -D --defined-only " GMESP_CLIENT_LIBRARY
                                " | grep -v ' A GMESP_' | grep -vc ' T gmesp_[a-z_]*@@GMESP_1$'");
  EXPECT_EQ(symbols.output, "0\n");
  const Outcome needed =
      shell("objdump -p " GMESP_CLIENT_LIBRARY " | grep -cE 'NEEDED.*(rte_|IPSec_MB)'");
  EXPECT_EQ(needed.output, "0\n");
}

}  // namespace
}  // namespace gmesp
