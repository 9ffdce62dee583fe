//! The list: every test that needs more than a user's rights and the tools of the build.

use crate::Conditional;
use crate::Need;

const fn test(test: &'static str, needs: &'static [Need]) -> Conditional {
    Conditional { test, needs }
}

/// Every test that is left out somewhere; [`crate::can_run`] and the torture look here.
pub const LIST: &[Conditional] = &[
    test("it socket::a_peer_of_another_user_is_refused_before_it_is_answered", &[Need::Root]),
    test("it disk::memory_answers_without_the_disk_and_a_stop_keeps_all", &[Need::Tracing]),
    test("it disk::slow_commits_turn_the_zone_yellow", &[Need::Tracing]),
    test("it disk::a_disk_that_is_too_slow_is_named_in_the_refusal", &[Need::Tracing]),
    test(
        "it disk::a_disk_that_fails_refuses_says_so_and_takes_requests_again",
        &[Need::Root, Need::Tracing],
    ),
    test("it vault_gone::a_disk_that_stands_still_at_the_end_loses_nothing", &[Need::Tracing]),
    test(
        "it control::top::the_screen_follows_the_process_and_the_keys",
        &[Need::Program("tmux"), Need::Program("pgrep")],
    ),
    test(
        "it vault_tools_killed::a_repair_that_is_killed_at_any_call_is_completed_by_the_next",
        &[Need::Tracing],
    ),
    test("archive the_stock_tool_opens_an_object", &[Need::Program("zstd")]),
    test("torture C2", &[Need::Tracing]),
    test("torture C3", &[Need::LoopDevices]),
    test("torture C3 on XFS", &[Need::LoopDevices, Need::Program("mkfs.xfs")]),
    test("torture C10", &[Need::LoopDevices, Need::Tracing]),
    test("torture R1", &[Need::LoopDevices]),
    test("torture R2", &[Need::LoopDevices]),
    test("torture R3", &[Need::Tracing, Need::LoopDevices]),
    test("torture R3 on zram", &[Need::Zram]),
    test("torture R4", &[Need::Tracing]),
    test("torture R4 with a throttle", &[Need::DiskLimit]),
    test("torture R5", &[Need::Program("prlimit")]),
    test("torture R6", &[Need::MemoryLimit]),
    test("torture R7", &[Need::MemoryLimit]),
    test("torture R8", &[Need::LoopDevices]),
    test("torture R9", &[Need::MemoryLimit]),
    test("torture S3 with the zstd tool", &[Need::Program("zstd")]),
    test("torture W1", &[Need::Ramfs]),
];
