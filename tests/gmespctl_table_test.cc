// SPDX-License-Identifier: BSD-3-Clause
// What gmespctl makes of the values in an answer, for people.
#include "tools/gmespctl_table.h"

#include <gtest/gtest.h>

#include <string>

namespace gmesp {
namespace {

// A UE's P-CSCF says what the UE's Security-Verify repeats, and gmespctl prints it.
TEST(GmespctlTable, ShowsControlCharactersInsteadOfSendingThemToTheTerminal) {
  const auto json = parse_answer(
      R"({"a\u001bkey":"x\u001b[2J\u0007\r\n\ty\u0000z\u007f\u009b0m","plain":"caf\u00e9 \u00a0\u0100"})");
  const std::string shown = text(json, "a\x1bkey");
  EXPECT_EQ(shown, R"(x\u001b[2J\u0007\u000d\u000a\u0009y\u0000z\u007f\u009b0m)");
  EXPECT_EQ(text(json, "plain"), "caf\u00e9 \u00a0\u0100") << "no control characters";
  for (const std::string& out :
       {facts(json), table_of(parse_answer(R"({"rows":[{"a":"\u001b"}]})")["rows"], {"a"}, true)}) {
    EXPECT_EQ(out.find('\x1b'), std::string::npos) << out;
    EXPECT_NE(out.find(R"(\u001b)"), std::string::npos) << out;
  }
}

TEST(GmespctlTable, SaysWhereAPageEndsThatOthersFollow) {
  EXPECT_EQ(more_after(parse_answer(R"({"after":"in 7"})")), "more: after in 7\n");
  EXPECT_EQ(more_after(parse_answer("{}")), "");
}

}  // namespace
}  // namespace gmesp
