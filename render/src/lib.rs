//! Templates, decisions and interpolation over one documented build context.
