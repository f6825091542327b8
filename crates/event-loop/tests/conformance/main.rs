//! The conformance suite of pollers: the behaviour of the loop, tested on the system's poller and on the scripted one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod containment;
mod order;
mod running;
mod tasks;
mod timers;
mod watches;
mod world;

/// Defines a test of each function, once for each environment.
macro_rules! on_every_poller {
    ($($module:ident: $($test:ident)*;)*) => {
        mod mio_poller {
            $($(
                #[test]
                fn $test() {
                    crate::world::run_in::<crate::world::System>(crate::$module::$test);
                }
            )*)*
        }

        mod scripted_poller {
            $($(
                #[test]
                fn $test() {
                    crate::world::run_in::<crate::world::Scripted>(crate::$module::$test);
                }
            )*)*
        }
    };
}

on_every_poller! {
    order:
        an_iteration_runs_ticks_then_timers_then_reads_then_writes
        ticks_run_in_the_order_of_the_calls
        a_tick_queued_by_a_tick_runs_in_the_next_iteration
        a_zero_timer_added_by_a_tick_fires_before_a_tick_nested_in_that_tick
        ticks_run_before_ready_io_and_do_not_wait_for_it
        a_tick_queued_by_io_runs_before_the_next_io;
    timers:
        timers_fire_by_deadline_and_equal_ones_in_the_order_in_which_they_were_added
        a_zero_timer_fires_in_the_next_iteration
        a_timer_does_not_fire_early
        a_timer_counts_from_the_call_after_a_long_callback
        a_periodic_timer_counts_from_the_call_after_a_long_callback
        a_sleep_counts_from_the_call_after_a_long_callback
        a_timer_added_by_a_timer_does_not_run_in_that_pass
        a_timer_cancelled_by_an_earlier_one_of_the_same_pass_does_not_fire
        a_periodic_timer_fires_again_and_again_until_it_is_cancelled
        a_periodic_timer_may_cancel_itself
        a_periodic_timer_is_pending_inside_its_own_callback_and_a_single_one_is_not
        cancelling_a_timer_that_has_fired_or_was_cancelled_does_nothing
        a_stale_handle_does_not_cancel_the_timer_that_reuses_its_slot
        cancelling_a_timer_drops_its_callback_at_once
        a_timer_in_the_far_future_waits_and_can_be_cancelled
        a_cancelled_timer_does_not_keep_the_loop_running;
    watches:
        a_readable_descriptor_is_reported_until_it_is_read_empty
        a_writable_descriptor_is_reported_until_the_watch_is_removed
        a_second_watch_of_the_same_direction_is_refused
        the_first_watch_survives_the_refusal_of_a_second_one
        removing_the_read_watch_leaves_the_write_watch
        removing_the_write_watch_leaves_the_read_watch
        removing_an_unknown_watch_does_nothing
        a_watch_may_be_added_again_after_it_was_removed
        a_watch_removed_by_an_earlier_callback_of_the_same_batch_is_not_called
        a_watch_whose_slot_was_reused_in_the_same_batch_is_not_called
        a_write_watch_removed_by_the_read_callback_of_its_descriptor_is_not_called
        a_callback_that_removes_its_own_watch_is_not_called_again
        a_watch_replaced_by_its_own_callback_calls_the_new_callback
        a_hang_up_is_reported_as_readable
        a_refused_connect_is_reported_as_writable
        the_loop_owns_the_source_until_the_watch_is_removed
        a_watch_keeps_the_loop_running_until_it_is_removed;
    running:
        a_loop_with_nothing_to_wait_for_returns_at_once
        run_may_be_called_again
        stop_ends_the_iteration_and_keeps_the_rest_for_the_next_run
        stop_outside_of_run_does_nothing
        a_stop_from_a_handle_outside_of_run_does_nothing
        stop_does_not_wait_for_io
        running_the_loop_inside_a_callback_is_an_error
        one_iteration_waits_no_longer_than_its_timeout
        one_iteration_returns_whether_work_is_pending
        a_stopped_iteration_returns_false_and_the_next_one_waits_again
        now_is_constant_while_ticks_run_and_advances_for_timers
        a_second_loop_on_a_thread_is_refused;
    containment:
        a_panic_in_a_tick_does_not_stop_the_others
        a_panic_in_a_timer_does_not_stop_the_others
        a_panic_in_a_periodic_timer_leaves_it_armed
        a_panic_in_a_read_callback_keeps_the_watches
        a_panic_in_a_task_is_its_result
        a_panic_in_the_destructor_of_a_cancelled_task_is_contained
        a_panic_in_the_destructor_of_a_finished_task_is_contained
        a_panic_in_the_destructor_of_a_cancelled_timer_is_contained;
    tasks:
        a_task_first_runs_in_the_next_iteration_and_run_waits_for_it
        a_handle_returns_the_output_of_the_task
        a_task_continues_after_its_handle_is_dropped
        a_cancelled_task_is_dropped_while_it_waits
        a_task_may_wait_for_another_one
        a_task_that_wakes_itself_lets_others_run
        block_on_returns_the_output_of_the_future
        block_on_inside_a_callback_is_an_error_and_drops_the_future
        block_on_is_cancelled_by_stop_and_leaves_the_loop_usable
        sleep_waits_for_the_duration
        dropping_a_sleep_cancels_its_timer
        a_loop_drops_its_tasks_when_its_thread_ends;
}
