// SPDX-License-Identifier: BSD-3-Clause
// gmespctl ue reconcile -: the sets that somebody believes in, from standard input, in as many
// requests as it takes.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "tools/gmespctl_session.h"

namespace gmesp {

// The handles of lines that are one, and of JSON lines that have a "handle" or a page of "sets".
// Throws UsageError with the line's number; also when there is no handle at all, or the last page
// of a list is missing: what is not named is deleted.
std::vector<std::string> read_handles(std::istream& lines);

// words: behind "ue reconcile -". answer: of the request before, as the session's printer leaves
// it; a refusal ends the whole.
void reconcile(const std::vector<std::string>& words, const std::vector<std::string>& handles,
               Session& session, const std::string& answer);

}  // namespace gmesp
