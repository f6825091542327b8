//! What a program keeps with a WebSocket.

use std::rc::Rc;

use super::{WebSocket, with_entry};

impl WebSocket {
    /// Keeps a value with the WebSocket, in the place of the one before. It is still there in `close` listeners. Default: none.
    pub fn set_data<D: 'static>(self, data: D) {
        // Both the old value and one that is not taken are dropped after the borrow: they may use the WebSocket.
        let mut data: Option<Rc<dyn std::any::Any>> = Some(Rc::new(data));
        with_entry(self.id, |entry| {
            std::mem::swap(&mut entry.rare().data, &mut data);
        });
    }

    /// The value kept with the WebSocket, if there is one of this type.
    pub fn data<D: 'static>(self) -> Option<Rc<D>> {
        with_entry(self.id, |entry| entry.rare_if_any()?.data.clone())
            .flatten()?
            .downcast()
            .ok()
    }
}
