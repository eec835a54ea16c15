import ProcessImage
import Testing

@Suite struct MountInfoTests {
  /// What is mounted may be called by the sign that ends the optional fields.
  @Test func theFirstSignEndsTheOptionalFields() {
    let mounts = MountInfo.parse(
      """
      36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue
      41 35 0:30 / /dev/shm rw - tmpfs - rw
      nonsense
      42 35 0 / /a rw - tmpfs tmpfs rw
      """)
    #expect(
      mounts == [
        MountInfo(number: 36, device: 98 << 32, mountPoint: "/mnt\\0402", type: "ext3"),
        MountInfo(number: 41, device: 30, mountPoint: "/dev/shm", type: "tmpfs"),
      ])
  }
}
