//! Measurements of the whole process. Those of single parts are beside them: `webui/benches`, `master/benches`.
