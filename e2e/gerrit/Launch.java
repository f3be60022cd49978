import java.util.Arrays;

/** Runs a program of Gerrit's, which its release would find in its archive: {@code Launch Init -d SITE}. */
public final class Launch {
  private Launch() {}

  public static void main(String[] arguments) throws Exception {
    Class<?> program = Class.forName("com.google.gerrit.pgm." + arguments[0]);
    Object made = program.getDeclaredConstructor().newInstance();
    String[] rest = Arrays.copyOfRange(arguments, 1, arguments.length);
    System.exit((int) program.getMethod("main", String[].class).invoke(made, (Object) rest));
  }
}
