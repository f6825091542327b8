//! The interface between a hub and the hubs with the same name in other workers.

use super::message::HubMessage;

/// The connection of a hub ([`Hub`](crate::Hub)) to the hubs with the same name in other workers.
///
/// A message published on the hub is sent to its subscribers in this worker, and through the adapter to those in the others. Pass a message
/// received from another worker to [`Hub::deliver`](crate::Hub::deliver), which sends it to the subscribers of this worker only.
///
/// The hub calls the adapter while no `RefCell` is borrowed: it may use the hub in any way. The hub drops the adapter when it is closed or
/// its adapter is replaced; the adapter then withdraws all topics.
///
/// # Examples
/// ```
/// use uptick_websocket::{HubAdapter, HubMessage, Hub};
///
/// /// Logs the messages for other workers.
/// struct Log;
///
/// impl HubAdapter for Log {
///     fn publish(&self, topic: &str, message: &HubMessage) {
///         println!("{topic}: {} bytes", message.payload().len());
///     }
///     fn subscribed(&self, topic: &str) {
///         println!("+{topic}");
///     }
///     fn unsubscribed(&self, topic: &str) {
///         println!("-{topic}");
///     }
/// }
///
/// Hub::new().set_adapter(Log);
/// ```
pub trait HubAdapter {
    /// Sends a message to the hubs of all other workers that have subscribers of the topic.
    fn publish(&self, topic: &str, message: &HubMessage);

    /// Called when a topic has its first subscriber in this worker, and for each topic with subscribers when the adapter is set.
    fn subscribed(&self, topic: &str);

    /// Called when a topic has lost its last subscriber in this worker.
    fn unsubscribed(&self, topic: &str);
}
