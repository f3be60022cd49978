//! The journal of one master: positions, consumers, snapshot, history, logs.
